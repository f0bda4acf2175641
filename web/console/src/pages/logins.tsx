// Devices that ask to join without a key: the strip above the machines, and the dialogs that decide.
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { plural } from '../lib/format'
import { shortVersion } from '../lib/compare'
import { shownLogins } from '../lib/logins'
import { loginName, loginSystem, type Login } from '../lib/model'
import { vocabulary } from '../lib/search'
import { query, setQuery } from '../router'
import type { LiveList } from '../live-list'
import { toast } from '../notices'
import { fetchUsers, type User } from '../questions'
import { approveLogin, loginCount, logins, machines, now, rejectLogin, session, settings, wantSettings, whyNot } from '../state'
import { Banner, Field, Shape, Tags, Time } from '../ui/basics'
import { TagInput } from '../ui/combobox'
import { Confirm, Dialog } from '../ui/dialog'

const FEW = 4 // in the strip, until more are asked for
const rejecting = signal<Login | null>(null)

const open = (id: string) => setQuery({ login: id })
const close = () => setQuery({ login: '' })
const ended = (l: Login) => l.deletedBy || 'Decided or over'

/*
 * Which of them the strip shows. Above the list, every row that comes or goes moves what is below: not while the hand
 * is there.
 */
export function useWaiting<T extends { id: string; created: number | null; deletedBy?: string }>(list: LiveList<T>, isInHand: () => boolean) {
	list.want()
	const version = list.version.value
	const strip = useRef<HTMLElement>(null)
	const before = useRef<string[]>([])
	const [asked, ask] = useState(0)
	const minute = now.value // a hand that went away is noticed then
	const lastAsked = useRef(0)
	const shown = useMemo(() => {
		const isOnStrip = !!strip.current && (strip.current.matches(':hover') || strip.current.contains(document.activeElement))
		const wanted = [...list.data.items.values()].sort((a, b) => (a.created ?? 0) - (b.created ?? 0) || (a.id < b.id ? -1 : 1)).map(l => l.id)
		const hand = asked !== lastAsked.current ? 'away' : isInHand() ? 'list' : isOnStrip ? 'strip' : 'away'
		lastAsked.current = asked
		before.current = shownLogins(before.current, wanted, hand, id => !!list.data.find(id))
		return before.current
	}, [version, asked, minute])
	const hidden = [...list.data.items.keys()].filter(id => !shown.includes(id)).length
	return { shown, hidden, strip, show: () => { ask(n => n + 1); scrollTo(0, 0) } }
}

export const useLogins = (isInHand: () => boolean) => useWaiting(logins, isInHand)

function Row({ l, why }: { l: Login; why: string }) {
	const name = loginName(l)
	const over = l.deletedBy !== undefined
	return (
		<li class={over ? 'ask gone' : 'ask'} data-id={l.id}>
			<div class="ask-who">
				<b class="name">{name}</b>
				<span class="second muted">{loginSystem(l)}{l.nodeName && <> · is <b>{l.nodeName}</b> already</>}</span>
			</div>
			<div class="ask-where">
				<span>from <code>{l.address}</code></span>
				<span class="second muted"><Time at={l.created} never="" /></span>
			</div>
			<div class="ask-tags">{l.tags.length > 0 && <><span class="sr">asks for </span><Tags tags={l.tags} /></>}</div>
			<div class="ask-actions">
				{over ? <span class="muted">{ended(l)}</span> : (
					<>
						<button type="button" class="button" disabled={!!why} aria-describedby={why ? 'asks-why' : undefined} onClick={() => { rejecting.value = l }}>
							Reject…<span class="sr"> {name}</span>
						</button>
						<button type="button" class={why ? 'button' : 'button primary'} onClick={() => open(l.id)}>
							{why ? 'Look at' : 'Approve…'}<span class="sr"> {name}</span>
						</button>
					</>
				)}
			</div>
		</li>
	)
}

export function LoginStrip({ shown, strip }: { shown: string[]; strip: { current: HTMLElement | null } }) {
	const [all, setAll] = useState(false)
	const why = whyNot('change')
	if (logins.error.value) {
		return (
			<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => logins.refetch()}>Try again</button>}>
				Could not load the devices that ask to join. {logins.error.value}
			</Banner>
		)
	}
	logins.version.value
	if (!shown.length) return null
	const n = loginCount.value
	return (
		<section class="asks" ref={strip} aria-labelledby="asks">
			<h2 id="asks"><Shape name="triangle" /> {n ? plural(n, 'device asks', 'devices ask') : 'No device asks'} to join</h2>
			{why && <p class="why" id="asks-why">{why} to decide.</p>}
			<ul role="list">
				{(all ? shown : shown.slice(0, FEW)).map(id => {
					const l = logins.data.find(id)
					return l && <Row key={id} l={l} why={why} />
				})}
			</ul>
			{!all && shown.length > FEW && <button type="button" class="link" onClick={() => setAll(true)}>Show all {shown.length}</button>}
		</section>
	)
}

export function LoginDialogs() {
	const id = query.value.get('login') ?? ''
	const l = rejecting.value
	logins.version.value
	if (l) {
		const name = loginName(l)
		return (
			<Confirm
				title={`Reject ${name}?`} button={`Reject ${name}`} onClose={() => { rejecting.value = null }}
				sentences={[
					'It does not join. Whoever sits at it is told that an administrator said no.',
					'It cannot ask again for as long as this request would have waited: 15 minutes from its start.',
				]}
				onConfirm={async () => { await rejectLogin(l.id); toast(`${name} is rejected.`) }}
			/>
		)
	}
	if (!id || !logins.data.loaded) return null
	return <Decide key={id} id={id} />
}

const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => <div class="fact"><dt>{name}</dt><dd>{children}</dd></div>

function Facts({ l }: { l: Login }) {
	return (
		<dl class="facts">
			<Fact name="Device">{loginName(l)}{l.ephemeral && <span class="muted"> · ephemeral: removed after going offline</span>}</Fact>
			<Fact name="System">{loginSystem(l)}{l.version && <span class="muted"> · Tailscale {shortVersion(l.version)}</span>}</Fact>
			<Fact name="Asked from"><code>{l.address}</code></Fact>
			<Fact name="Asked"><Time at={l.created} never="Unknown" /><span class="muted"> · forgotten <Time at={l.expires} /></span></Fact>
			<Fact name="Machine key"><code>{l.machineKeyShort}</code></Fact>
			{l.nodeName && <Fact name="Known as"><span><b>{l.nodeName}</b>{l.nodeUser && ` of ${l.nodeUser}`}: it signs in again</span></Fact>}
		</dl>
	)
}

function Decide({ id }: { id: string }) {
	// As it was when the dialog opened: what is decided about does not change under the hand.
	const l = useRef(logins.data.items.get(id)).current
	if (!l) {
		return (
			<Dialog title="No device waits here" onClose={close}>
				<p>This request is approved or rejected already, or it is over: each is good for 15 minutes. <code>tailscale up</code> on the device asks again.</p>
				<div class="dialog-actions"><button type="button" class="button primary" onClick={close}>Close</button></div>
			</Dialog>
		)
	}
	return <DecideForm l={l} />
}

// Whose device it would be, without anybody saying so: the same as for keys.
const likelyUser = (l: Login, users: User[]) =>
	[l.nodeUser, session.value?.name].find(name => name && users.some(u => u.name === name))
		?? users.find(u => u.role === 'owner')?.name ?? users[0]?.name ?? ''

function DecideForm({ l }: { l: Login }) {
	const [users, setUsers] = useState<User[]>([])
	const [user, setUser] = useState('')
	const [tags, setTags] = useState(l.tags)
	const [approved, setApproved] = useState(true)
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const known = useMemo(() => vocabulary(machines.data.items.values()).tags, [])
	const name = loginName(l)
	logins.version.value
	const current = logins.data.find(l.id)
	const over = !working && (!current || current.deletedBy !== undefined)
	const why = whyNot('change')
	wantSettings()
	useEffect(() => {
		fetchUsers().then(list => {
			setUsers(list)
			setUser(likelyUser(l, list))
		}, e => setError(messageOf(e)))
	}, [])
	const needsApproval = settings.value?.devicesNeedApproval ?? false
	const run = async (fn: () => Promise<void>) => {
		setWorking(true)
		setError('')
		try {
			await fn()
			close()
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
		}
	}
	const approve = () => run(async () => {
		const m = await approveLogin(l.id, {
			...(user ? { user } : {}), ...(tags.join() === l.tags.join() ? {} : { tags }), ...(needsApproval ? { approved } : {}),
		})
		toast(m.authorized ? `${m.name} has joined.` : `${m.name} has joined and waits for approval.`)
	})
	const reject = () => run(async () => {
		await rejectLogin(l.id)
		toast(`${name} is rejected.`)
	})
	return (
		<Dialog title={`Let ${name} join?`} onClose={close}>
			{over && <Banner tone="info">{current ? ended(current) : 'Decided or over'} meanwhile.</Banner>}
			<Facts l={l} />
			<form onSubmit={e => { e.preventDefault(); void approve() }} noValidate>
				<Field label="Owner" help={tags.length ? 'With tags, it belongs to its tags; the owner is the one who answers for it.' : 'Whose device it is.'}>
					{props => (
						<select {...props} value={user} onChange={e => { setUser(e.currentTarget.value); setError('') }}>
							{users.map(u => <option key={u.name} value={u.name}>{u.displayName && u.displayName !== u.name ? `${u.displayName} (${u.name})` : u.name}</option>)}
						</select>
					)}
				</Field>
				<Field label="Tags" help={l.tags.length ? `It asks for ${l.tags.join(', ')}.` : 'It asks for none. Enter adds one.'}>
					{props => <TagInput {...props} tags={tags} known={known} onChange={t => { setTags(t); setError('') }} />}
				</Field>
				{needsApproval && (
					<label class="check">
						<input type="checkbox" checked={approved} onChange={e => setApproved(e.currentTarget.checked)} />
						<span>Counts as approved<span class="help">Without it, it joins and waits in the list: it reaches nobody until it is approved.</span></span>
					</label>
				)}
				<p class="help">Approve only what you know. The page that the device links to shows the same machine key.</p>
				{error && <Banner tone="bad" alert>{error}</Banner>}
				<div class="dialog-actions">
					<button type="button" class="button" onClick={close}>{over ? 'Close' : 'Cancel'}</button>
					{!over && (
						<>
							<span class="spring" />
							{why && <span class="why" id="decide-why">{why} to decide</span>}
							<button type="button" class="button danger-text" disabled={!!why || working} aria-describedby={why ? 'decide-why' : undefined} onClick={() => void reject()}>Reject</button>
							<button type="submit" class="button primary" disabled={!!why || working} aria-describedby={why ? 'decide-why' : undefined}>{working ? 'Working…' : 'Approve'}</button>
						</>
					)}
				</div>
			</form>
		</Dialog>
	)
}
