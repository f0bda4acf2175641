// The dialog that makes an auth key and shows it once; from the pages of keys and machines.
import { signal } from '@preact/signals'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { date, plural } from '../lib/format'
import { k3sLine, tailscaleLine } from '../lib/joinline'
import { keyMeaning, machineStatus, type Key } from '../lib/model'
import { vocabulary } from '../lib/search'
import { fetchUsers, type User } from '../questions'
import { createKey, joined, machines, now, serverNow, session, settings, wantSettings } from '../state'
import { Banner, Field, Line, StatusWord } from '../ui/basics'
import { TagInput } from '../ui/combobox'
import { Dialog } from '../ui/dialog'
import { SecretDialog } from '../ui/secret-dialog'

const open = signal(false)
export const openCreateKey = () => { open.value = true }

const DAY_S = 86_400
const presets = [1, 7, 90]

export function CreateKeyDialog() {
	return open.value ? <CreateKey onClose={() => { open.value = false }} /> : null
}

function CreateKey({ onClose }: { onClose: () => void }) {
	const [made, setMade] = useState<{ key: Key; secret: string } | null>(null)
	return made ? <Shown made={made.key} secret={made.secret} onClose={onClose} /> : <Form onClose={onClose} onMade={setMade} />
}

function Form({ onClose, onMade }: { onClose: () => void; onMade: (made: { key: Key; secret: string }) => void }) {
	const [description, setDescription] = useState('')
	const [tags, setTags] = useState<string[]>([])
	const [reusable, setReusable] = useState(false)
	const [ephemeral, setEphemeral] = useState(false)
	const [preauthorized, setPreauthorized] = useState(true)
	const [days, setDays] = useState('90')
	const [isOther, setIsOther] = useState(false)
	const [users, setUsers] = useState<User[]>([])
	const [user, setUser] = useState('')
	const [error, setError] = useState('')
	const [daysError, setDaysError] = useState('')
	const [working, setWorking] = useState(false)
	const daysInput = useRef<HTMLInputElement>(null)
	const known = useMemo(() => vocabulary(machines.data.items.values()).tags, [machines.version.value])
	const needsApproval = settings.value?.devicesNeedApproval ?? false

	useEffect(() => {
		machines.want()
		wantSettings()
		fetchUsers().then(list => {
			setUsers(list)
			setUser(list.find(u => u.name === session.value?.name)?.name ?? list[0]?.name ?? '')
		}, e => setError(messageOf(e)))
	}, [])

	const submit = async (e: Event) => {
		e.preventDefault()
		const n = Number(days)
		if (!Number.isInteger(n) || n < 0 || n > 3650 || days.trim() === '') {
			setDaysError('Type a whole number of days up to 3,650; 0 for a key that never expires.')
			daysInput.current?.focus()
			return
		}
		setWorking(true)
		setError('')
		try {
			onMade(await createKey({
				...(user ? { user } : {}), description: description.trim(), tags, reusable, ephemeral, preauthorized, expirySeconds: n * DAY_S,
			}))
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
		}
	}
	const box = (label: string, help: string, value: boolean, set: (on: boolean) => void) => (
		<label class="check">
			<input type="checkbox" checked={value} onChange={e => set(e.currentTarget.checked)} />
			<span>{label}<span class="help">{help}</span></span>
		</label>
	)
	const until = Number(days) > 0 ? `Until ${date(serverNow() + Number(days) * DAY_S * 1000)}.` : 'It never expires.'
	return (
		<Dialog title="Create auth key" onClose={onClose} wide>
			<form onSubmit={submit} noValidate>
				<Field label="Description" help="What it is for, so that you know it again in the list.">
					{props => <input {...props} type="text" maxLength={100} autocomplete="off" value={description} onInput={e => setDescription(e.currentTarget.value)} />}
				</Field>
				<Field label="Tags" help="Machines get them when they join. Enter adds one.">
					{props => <TagInput {...props} tags={tags} known={known} onChange={setTags} />}
				</Field>
				<fieldset class="checks">
					<legend>Kind</legend>
					{box('Reusable', 'any number of machines', reusable, setReusable)}
					{box('Ephemeral', 'removed after going offline', ephemeral, setEphemeral)}
					{box('Pre-approved', needsApproval ? 'joins without approval' : 'no machine needs approval now', preauthorized, setPreauthorized)}
				</fieldset>
				<fieldset class="expiry">
					<legend>Expires in</legend>
					<div class="choices">
						{presets.map(d => (
							<label key={d} class="choice">
								<input
									type="radio" name="days" checked={!isOther && days === String(d)}
									onChange={() => { setDays(String(d)); setIsOther(false); setDaysError('') }}
								/>
								<span>{plural(d, 'day')}</span>
							</label>
						))}
						<label class="choice">
							<input type="radio" name="days" checked={isOther} onChange={() => setIsOther(true)} /><span>Other</span>
						</label>
						{isOther && (
							<span class="days">
								<input
									ref={daysInput} type="number" min="0" max="3650" inputMode="numeric" aria-label="Days until the key expires, 0 for never"
									aria-invalid={daysError ? true : undefined} aria-describedby={daysError ? 'days-error' : undefined}
									value={days} onInput={e => { setDays(e.currentTarget.value); setDaysError('') }}
								/> days
							</span>
						)}
					</div>
					{daysError && <p class="error" id="days-error">{daysError}</p>}
				</fieldset>
				{users.length > 1 && (
					<Field label="Owner" help="Machines without tags belong to this user.">
						{props => (
							<select {...props} value={user} onChange={e => setUser(e.currentTarget.value)}>
								{users.map(u => <option key={u.name} value={u.name}>{u.displayName && u.displayName !== u.name ? `${u.displayName} (${u.name})` : u.name}</option>)}
							</select>
						)}
					</Field>
				)}
				<p class="meaning">
					<b>What it does:</b> {keyMeaning({ reusable, ephemeral, preauthorized, tags }, needsApproval)} {until}
				</p>
				{error && <Banner tone="bad" alert>{error}</Banner>}
				<div class="dialog-actions">
					<button type="button" class="button" onClick={onClose}>Cancel</button>
					<button type="submit" class="button primary" disabled={working}>{working ? 'Creating…' : 'Create key'}</button>
				</div>
			</form>
		</Dialog>
	)
}

function Shown({ made, secret, onClose }: { made: Key; secret: string; onClose: () => void }) {
	const before = useRef(new Set(joined.peek()))
	const server = session.value!.serverUrl
	const first = joined.value.filter(id => !before.current.has(id)).map(id => machines.data.find(id)).find(m => m?.keyId === made.id)
	machines.version.value
	return (
		<SecretDialog title="Key created" onClose={onClose}>
			<p>It is shown only now: the server keeps no copy that could be read again.</p>
			<Line title="Key" text={secret} button="Copy key" />
			<Line title="Join a machine" text={`sudo ${tailscaleLine(server, secret)}`} />
			<Line title="K3s server" text={k3sLine(server, secret)} />
			<div class="arrivals" role="status">
				{first
					? <>Joined: <a href={`/machines/${first.id}`} onClick={onClose}>{first.name}</a> <code>{first.addresses[0]}</code> <StatusWord status={machineStatus(first, now.value)} /></>
					: <span class="muted">Machines that join with this key appear here.</span>}
			</div>
		</SecretDialog>
	)
}
