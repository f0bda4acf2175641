// Auth keys: what machines join with.
import { signal } from '@preact/signals'
import { useMemo, useRef } from 'preact/hooks'
import { byText } from '../lib/compare'
import { count, plural } from '../lib/format'
import { keyIsActive, keyMeaning, keyStatus, keyUses, type Key } from '../lib/model'
import { query, setQuery } from '../router'
import { toast } from '../notices'
import { deleteKey, keys, now, revokeKey, settings, wantSettings, whyNot } from '../state'
import { Act, Banner, Skeleton, StatusWord, Tags, Time } from '../ui/basics'
import { Search } from '../ui/combobox'
import { Confirm } from '../ui/dialog'
import { BottomBar, isInHand, List, useRows, type Column } from '../ui/list'
import { MenuButton, type MenuItem } from '../ui/menu'
import { openCreateKey } from './create-key'
import { PageHead } from './page-head'

const asked = signal<{ kind: 'revoke' | 'delete'; key: Key } | null>(null)
const nameOf = (k: Key) => k.description || k.id
const needsApproval = () => settings.value?.devicesNeedApproval ?? false

const orders: Record<string, (a: Key, b: Key) => number> = {
	name: (a, b) => byText(nameOf(a), nameOf(b)),
	state: (a, b) => Number(keyIsActive(b, now.peek())) - Number(keyIsActive(a, now.peek())) || byText(a.state, b.state),
	uses: (a, b) => a.uses - b.uses,
	expires: (a, b) => (a.expires ?? Infinity) - (b.expires ?? Infinity) || 0,
	created: (a, b) => (a.created ?? 0) - (b.created ?? 0),
}

const kind = (k: Key) => [k.reusable ? 'reusable' : 'single use', k.ephemeral && 'ephemeral', !k.preauthorized && 'not pre-approved']
	.filter(Boolean).join(', ')

const columns: Column<Key>[] = [
	{
		key: 'name', label: 'Key', sortable: true,
		cell: k => (
			<>
				<span class="name" title={keyMeaning(k, needsApproval())}>{k.description || <code>{k.id}</code>}</span>
				<span class="second muted">{k.description && <code>{k.id}</code>} {kind(k)}</span>
			</>
		),
	},
	{ key: 'state', label: 'State', sortable: true, cell: k => <StatusWord status={keyStatus(k, now.value)} /> },
	{ key: 'tags', label: 'Tags or owner', cell: k => (k.tags.length ? <span class="clip"><Tags tags={k.tags} /></span> : k.user) },
	{
		key: 'uses', label: 'Used', sortable: true,
		cell: k => (
			<>
				<span class={k.uses ? '' : 'muted'}>{keyUses(k)}</span>
				{k.lastUsed !== null && <span class="second muted"><Time at={k.lastUsed} /></span>}
			</>
		),
	},
	{ key: 'expires', label: 'Expires', sortable: true, cell: k => <Time at={k.expires} /> },
	{ key: 'created', label: 'Created', sortable: true, cell: k => <Time at={k.created} /> },
]

const Card = ({ k }: { k: Key }) => (
	<>
		<div class="card-line"><span class="name">{nameOf(k)}</span><StatusWord status={keyStatus(k, now.value)} /></div>
		<div class="card-line"><span class="muted">{kind(k)} · used {keyUses(k).toLowerCase()}</span><span class="muted"><Time at={k.expires} never="never expires" /></span></div>
		<div class="card-line clip">{k.tags.length ? <span><Tags tags={k.tags} /></span> : <span class="muted">{k.user}</span>}</div>
	</>
)

function keyMenu(k: Key): MenuItem[] {
	const items: MenuItem[] = []
	const why = whyNot('change')
	if (keyIsActive(k, now.peek())) items.push({ label: 'Revoke…', run: () => { asked.value = { kind: 'revoke', key: k } }, whyNot: why })
	items.push({ label: 'Delete…', run: () => { asked.value = { kind: 'delete', key: k } }, danger: true, whyNot: why })
	return items
}

function KeyDialogs() {
	const open = asked.value
	if (!open) return null
	const close = () => { asked.value = null }
	const { key: k } = open
	const stay = `Machines that joined with it stay${k.uses ? ` (${plural(k.uses, 'use')})` : ''}.`
	return open.kind === 'revoke' ? (
		<Confirm
			title={`Revoke ${nameOf(k)}?`} button="Revoke key" onClose={close}
			sentences={['Nothing can join with it from now on; that cannot be taken back.', stay]}
			onConfirm={async () => { await revokeKey(k.id); toast(`${nameOf(k)} is revoked.`) }}
		/>
	) : (
		<Confirm
			title={`Delete ${nameOf(k)}?`} button="Delete key" onClose={close}
			sentences={[
				keyIsActive(k, now.peek()) ? 'It is active: nothing can join with it from now on.' : 'It is not active any more; it goes from this list.',
				stay,
			]}
			onConfirm={async () => { await deleteKey(k.id); toast(`${nameOf(k)} is deleted.`) }}
		/>
	)
}

const matches = (k: Key, line: string) => {
	const text = [k.id, k.description, k.user, ...k.tags, kind(k)].join('\n').toLowerCase()
	return line.toLowerCase().split(/\s+/).every(word => text.includes(word))
}

export function KeysPage() {
	const root = useRef<HTMLDivElement>(null)
	keys.want()
	wantSettings()
	const version = keys.version.value
	const line = query.value.get('q') ?? ''
	const show = query.value.get('show') === 'active' ? 'active' : 'all'
	const sort = query.value.get('sort') ?? '-created'
	const { items } = keys.data
	const wanted = useMemo(() => {
		const descending = sort.startsWith('-')
		const by = orders[descending ? sort.slice(1) : sort] ?? orders.created!
		return [...items.values()].filter(k => (show === 'all' || keyIsActive(k, now.peek())) && matches(k, line))
			.sort((a, b) => (descending ? -1 : 1) * (by(a, b) || byText(a.id, b.id))).map(k => k.id)
	}, [version, line, show, sort])
	const active = [...items.values()].filter(k => keyIsActive(k, now.value)).length
	const rows = useRows(wanted, `${line}\n${show}\n${sort}`, version, {
		isInHand: () => isInHand(root.current, 0), isOwn: id => keys.own.has(id), exists: id => !!keys.data.find(id),
	})
	const create = <Act class="button primary" right="make-keys" onClick={openCreateKey}>Create key</Act>
	const empty = keys.data.loaded && !items.size && !rows.shown.length
	return (
		<>
			<PageHead title="Keys" actions={create}>
				{!empty && <Search value={line} onInput={q => setQuery({ q })} suggestions={[]} label="Search keys" placeholder="Search description, id, tag" />}
			</PageHead>
			{keys.error.value && (
				<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => keys.refetch()}>Try again</button>}>
					Could not load the keys. {keys.error.value}{keys.data.loaded && ' What you see is from before.'}
				</Banner>
			)}
			{!keys.data.loaded ? !keys.error.value && <Skeleton noun="keys" /> : empty ? (
				<div class="empty">
					<p>Auth keys let machines join without anybody signing in. There is none yet.</p>
					{create}
				</div>
			) : (
				<>
					<div class="list-head">
						<p class="counts">
							{plural(items.size, 'auth key')} · {count(active)} active
						</p>
						<div class="filters">
							<label class="filter">
								<span class="sr">Show</span>
								<select value={show} class={show === 'active' ? 'set' : ''} onChange={e => setQuery({ show: e.currentTarget.value === 'all' ? '' : e.currentTarget.value })}>
									<option value="all">All keys</option>
									<option value="active">Active keys</option>
								</select>
							</label>
						</div>
					</div>
					{rows.shown.length ? (
						<List
							label="Auth keys" rows={rows.shown} find={id => keys.data.find(id)} nameOf={nameOf} columns={columns} card={k => <Card k={k} />}
							isGone={k => k.deletedBy !== undefined} sort={sort} onSort={s => setQuery({ sort: s === '-created' ? '' : s })}
							rowHeight={56} cardHeight={112} rootRef={root}
							actions={k => <MenuButton owner={`key ${k.id}`} label={`Actions for ${nameOf(k)}`} items={() => keyMenu(keys.data.items.get(k.id) ?? k)}>⋯</MenuButton>}
						/>
					) : (
						<div class="empty">
							<p>No key matches{line && <> <code>{line}</code></>}.</p>
							<button type="button" class="button" onClick={() => setQuery({ q: '', show: '' })}>Clear filters</button>
						</div>
					)}
					<BottomBar changed={rows.changed} refresh={rows.refresh} />
				</>
			)}
			<KeyDialogs />
		</>
	)
}
