// The list of machines.
import { signal } from '@preact/signals'
import { useMemo, useRef, useState } from 'preact/hooks'
import { byAddress, byText, byVersion, shortVersion } from '../lib/compare'
import { count, plural } from '../lib/format'
import { attention, machineStatus, osName, type Machine } from '../lib/model'
import { complaint, matcher, parse, states, suggest, termValue, vocabulary, without, withTerm } from '../lib/search'
import { query, setQuery } from '../router'
import { machines, now, pendingCount, session } from '../state'
import { Act, Banner, Copy, Shape, Skeleton, StatusWord, Tags, Time } from '../ui/basics'
import { Search } from '../ui/combobox'
import { BottomBar, isInHand, isPhone, List, useRows, type Column } from '../ui/list'
import { MenuButton } from '../ui/menu'
import { FirstMachine } from './first-machine'
import { openCreateKey } from './create-key'
import { LoginDialogs, LoginStrip, useLogins } from './logins'
import { SSHStrip, useSSHChecks } from './ssh-checks'
import { approve, ask, machineMenu } from './machine-dialogs'
import { PageHead } from './page-head'

const orders: Record<string, (a: Machine, b: Machine) => number> = {
	name: () => 0,
	address: (a, b) => byAddress(a.addresses[0] ?? '', b.addresses[0] ?? ''),
	status: (a, b) => Number(a.authorized) - Number(b.authorized) || Number(b.expired) - Number(a.expired) || Number(b.online) - Number(a.online),
	owner: (a, b) => byText(a.tags[0] ?? a.user, b.tags[0] ?? b.user),
	os: (a, b) => byText(a.os, b.os),
	version: (a, b) => byVersion(a.version, b.version),
	// Machines that are online were all seen now.
	seen: (a, b) => (b.online ? Infinity : b.lastSeen ?? 0) - (a.online ? Infinity : a.lastSeen ?? 0) || 0,
}

function ordered(list: Machine[], sort: string): Machine[] {
	const descending = sort.startsWith('-')
	const by = orders[descending ? sort.slice(1) : sort] ?? orders.name!
	const sign = descending ? -1 : 1
	return list.sort((a, b) => sign * (by(a, b) || byText(a.name, b.name)) || byText(a.id, b.id))
}

const why = (m: Machine) => attention(m, now.value)[0]

const columns: Column<Machine>[] = [
	{
		key: 'name', label: 'Machine', sortable: true,
		cell: m => (
			<>
				<a class="name" href={`/machines/${m.id}`}>{m.name}</a>
				<span class="second">{m.tags.length ? <Tags tags={m.tags} /> : <span class="muted">{m.user}</span>}</span>
			</>
		),
	},
	{
		key: 'address', label: 'Address', sortable: true,
		cell: m => m.addresses[0] && (
			<span class="with-copy"><code>{m.addresses[0]}</code><Copy text={m.addresses[0]} label={`Copy the address of ${m.name}`} /></span>
		),
	},
	{
		key: 'status', label: 'Status', sortable: true,
		cell: m => (
			<>
				<StatusWord status={machineStatus(m, now.value)} />
				{why(m) && why(m)!.kind !== 'expired' && <span class="second status warn"><Shape name="triangle" /> {why(m)!.text}</span>}
			</>
		),
	},
	{ key: 'os', label: 'OS', sortable: true, cell: m => osName(m.os) },
	{ key: 'version', label: 'Version', sortable: true, cell: m => <span title={m.version}>{shortVersion(m.version)}</span> },
	{ key: 'seen', label: 'Last seen', sortable: true, cell: m => (m.online ? 'now' : <Time at={m.lastSeen} />) },
]

const Card = ({ m }: { m: Machine }) => (
	<>
		<div class="card-line">
			<a class="name" href={`/machines/${m.id}`}>{m.name}</a>
			<StatusWord status={machineStatus(m, now.value)} />
		</div>
		<div class="card-line">
			{m.addresses[0] && <span class="with-copy"><code>{m.addresses[0]}</code><Copy text={m.addresses[0]} label={`Copy the address of ${m.name}`} /></span>}
			<span class="muted">{m.online ? '' : <Time at={m.lastSeen} />}</span>
		</div>
		<div class="card-line clip">
			{why(m) ? <span class="status warn"><Shape name="triangle" /> {why(m)!.text}</span> : m.tags.length ? <span><Tags tags={m.tags} /></span> : <span class="muted">{m.user}</span>}
		</div>
	</>
)

const selected = signal<ReadonlySet<string>>(new Set())
const select = (ids: string[], on: boolean) => {
	const next = new Set(selected.value)
	for (const id of ids) on ? next.add(id) : next.delete(id)
	selected.value = next
}
const clearSelection = () => { selected.value = new Set() }

function Filters({ line, words, setLine }: { line: string; words: ReturnType<typeof vocabulary>; setLine: (line: string) => void }) {
	const [open, setOpen] = useState(false)
	const sort = query.value.get('sort') ?? 'name'
	const pick = (key: string, label: string, all: string, values: [string, string][]) => {
		const value = termValue(line, key)
		return (
			<label class="filter">
				<span class="sr">{label}</span>
				<select value={value} class={value ? 'set' : ''} onChange={e => setLine(withTerm(line, key, e.currentTarget.value))}>
					<option value="">{all}</option>
					{values.map(([v, text]) => <option key={v} value={v}>{text}</option>)}
					{value && !values.some(([v]) => v === value) && <option value={value}>{value}</option>}
				</select>
			</label>
		)
	}
	const tagName = (t: string) => t.replace(/^tag:/, '').toLowerCase()
	const stateNames: Record<string, string> = {
		online: 'Online', offline: 'Offline', pending: 'Waits for approval', expired: 'Key expired', expiring: 'Key expires soon',
		ephemeral: 'Ephemeral', routes: 'Routes wait', attention: 'Needs attention',
	}
	return (
		<>
			{isPhone.value && (
				<button type="button" class="button" aria-expanded={open} aria-controls="filters" onClick={() => setOpen(!open)}>Filter</button>
			)}
			<div class="filters" id="filters" hidden={isPhone.value && !open}>
				{pick('is', 'Status', 'Any status', states.map(s => [s, stateNames[s]!]))}
				{words.users.length > 1 && pick('user', 'Owner', 'Any owner', words.users.map(u => [u.toLowerCase(), u]))}
				{words.tags.length > 0 && pick('tag', 'Tag', 'Any tag', words.tags.map(t => [tagName(t), tagName(t)]))}
				{words.os.length > 1 && pick('os', 'Operating system', 'Any OS', words.os.map(o => [o, osName(o)]))}
				{isPhone.value && (
					<label class="filter">
						<span class="sr">Sort by</span>
						<select value={sort} onChange={e => setQuery({ sort: e.currentTarget.value === 'name' ? '' : e.currentTarget.value })}>
							<option value="name">Sorted by name</option>
							<option value="status">Sorted by status</option>
							<option value="seen">Sorted by last seen</option>
							<option value="address">Sorted by address</option>
						</select>
					</label>
				)}
			</div>
		</>
	)
}

function Chips({ line, setLine }: { line: string; setLine: (line: string) => void }) {
	const terms = parse(line).filter(t => t.key)
	if (!terms.length) return null
	return (
		<ul class="chips" role="list" aria-label="Filters">
			{terms.map(t => (
				<li key={t.text} class="chip">
					{t.text}<button type="button" aria-label={`Remove filter ${t.text}`} onClick={() => setLine(without(line, t))}>×</button>
				</li>
			))}
			<li><button type="button" class="link" onClick={() => setLine('')}>Clear filters</button></li>
		</ul>
	)
}

function Selection({ shown }: { shown: string[] }) {
	const ids = [...selected.value].filter(id => machines.data.items.has(id))
	if (!ids.length) return null
	const matching = shown.filter(id => machines.data.items.has(id))
	const here = new Set(matching)
	const elsewhere = ids.filter(id => !here.has(id)).length
	const waiting = ids.filter(id => !machines.data.items.get(id)!.authorized)
	return (
		<div class="selection" role="group" aria-label="Selected machines">
			<span role="status">
				<b>{count(ids.length)} selected</b>{elsewhere > 0 && <span class="muted">, {count(elsewhere)} of them not in this list</span>}
			</span>
			{ids.length - elsewhere < matching.length && (
				<button type="button" class="link" onClick={() => select(matching, true)}>Select all {count(matching.length)}{parse(query.value.get('q') ?? '').length ? ' matching' : ''}</button>
			)}
			<button type="button" class="link" onClick={clearSelection}>Clear</button>
			<span class="selection-actions">
				{waiting.length > 0 && <Act onClick={() => void approve(waiting)}>Approve {count(waiting.length)}</Act>}
				<Act onClick={() => ask(ids.length === 1 ? 'tags' : 'add-tags', ids)}>Tag…</Act>
				<Act onClick={() => ask('expire', ids)}>Expire…</Act>
				<Act class="button danger-text" onClick={() => ask('delete', ids, clearSelection)}>Delete…</Act>
			</span>
		</div>
	)
}

export function MachinesPage() {
	const root = useRef<HTMLDivElement>(null)
	machines.want()
	const version = machines.version.value
	const line = query.value.get('q') ?? ''
	const sort = query.value.get('sort') ?? 'name'
	const { items } = machines.data
	const setLine = (q: string) => setQuery({ q })

	const words = useMemo(() => vocabulary(items.values()), [version])
	const wanted = useMemo(() => {
		const matches = matcher(line, words, now.peek())
		return ordered([...items.values()].filter(matches), sort).map(m => m.id)
	}, [version, line, sort])
	const online = useMemo(() => [...items.values()].filter(m => m.online).length, [version])
	const rows = useRows(wanted, `${line}\n${sort}`, version, {
		isInHand: () => isInHand(root.current, selected.peek().size), isOwn: id => machines.own.has(id), exists: id => !!machines.data.find(id),
	})
	const waiting = useLogins(() => isInHand(root.current, selected.peek().size))
	const ssh = useSSHChecks(() => isInHand(root.current, selected.peek().size))
	const wrong = complaint(line)
	const empty = machines.data.loaded && !items.size && !rows.shown.length

	return (
		<>
			<PageHead title="Machines" actions={<Act class="button primary" right="make-keys" onClick={openCreateKey}>Add machine</Act>}>
				{!empty && (
					<Search
						value={line} onInput={setLine} suggestions={suggest(line, words)} label="Search machines"
						placeholder="Search name, 100.x, tag:, os:, is:"
					/>
				)}
			</PageHead>
			{machines.error.value && (
				<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => machines.refetch()}>Try again</button>}>
					Could not load the machines. {machines.error.value}{machines.data.loaded && ' What you see is from before.'}
				</Banner>
			)}
			<LoginStrip shown={waiting.shown} strip={waiting.strip} />
			<SSHStrip shown={ssh.shown} strip={ssh.strip} />
			{pendingCount.value > 0 && termValue(line, 'is') !== 'pending' && (
				<Banner tone="warn" action={<a class="button" href="/machines?q=is%3Apending">Review</a>}>
					{plural(pendingCount.value, 'machine waits', 'machines wait')} for approval.
				</Banner>
			)}
			{!machines.data.loaded ? !machines.error.value && <Skeleton noun="machines" /> : empty ? <FirstMachine server={session.value!.serverUrl} /> : (
				<>
					<div class="list-head">
						<p class="counts">
							{line ? <>{count(wanted.length)} of {plural(items.size, 'machine')}</> : <>{plural(items.size, 'machine')} · {count(online)} online</>}
						</p>
						<Filters line={line} words={words} setLine={setLine} />
					</div>
					<Chips line={line} setLine={setLine} />
					{wrong && <p class="error" role="alert">{wrong}</p>}
					{rows.shown.length ? (
						<List
							label="Machines" rows={rows.shown} find={id => machines.data.find(id)} nameOf={m => m.name} columns={columns}
							card={m => <Card m={m} />} isGone={m => m.deletedBy !== undefined} sort={sort} onSort={s => setQuery({ sort: s === 'name' ? '' : s })}
							rowHeight={56} cardHeight={112} selected={selected.value} onSelect={select} rootRef={root}
							actions={m => (
								<MenuButton owner={`machine ${m.id}`} label={`Actions for ${m.name}`} items={() => machineMenu(machines.data.items.get(m.id) ?? m)}>⋯</MenuButton>
							)}
						/>
					) : (
						<div class="empty">
							<p>No machine matches <code>{line}</code>.</p>
							<button type="button" class="button" onClick={() => setLine('')}>Clear filters</button>
						</div>
					)}
					<BottomBar changed={rows.changed} refresh={rows.refresh}>
						<Selection shown={rows.shown} />
						{waiting.hidden > 0 && (
							<button type="button" class="button small changed" onClick={waiting.show}>{plural(waiting.hidden, 'device asks', 'devices ask')} to join: show</button>
						)}
						{ssh.hidden > 0 && (
							<button type="button" class="button small changed" onClick={ssh.show}>{plural(ssh.hidden, 'SSH login waits', 'SSH logins wait')}: show</button>
						)}
					</BottomBar>
				</>
			)}
			<LoginDialogs />
		</>
	)
}
