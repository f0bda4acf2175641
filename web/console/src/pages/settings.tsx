// What an administrator changes while the server runs, each section saved for itself; and what runs.
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { date, duration } from '../lib/format'
import { keyDaysComplaint, keyDaysText, type Settings } from '../lib/model'
import { time } from '../lib/merge'
import { toast } from '../notices'
import { fetchStatus, type ServerStatus } from '../questions'
import { fetchSettings, saveSettings, session, settings, settingsBy, settingsError, wantSettings, whyNot } from '../state'
import { Banner, Skeleton } from '../ui/basics'
import { PageHead } from './page-head'
import { Quotas } from './quotas'

type Saved = Omit<Settings, 'keyDaysConfigured'>

/*
 * A section with one setting. Until it is touched it follows the server; what others change meanwhile is said, not taken over.
 */
function useSetting<K extends keyof Saved>(name: K) {
	const current = settings.value![name]
	const start = useRef(current)
	const [value, setValue] = useState(current)
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const isTouched = value !== start.current
	useEffect(() => {
		if (isTouched) return
		start.current = current
		setValue(current)
	}, [current])
	return {
		value, error, working, setError,
		set: (v: Saved[K]) => { setValue(v); setError('') },
		isChanged: value !== current,
		others: isTouched && !working && current !== start.current && current !== value,
		follow: () => { start.current = current; setValue(current); setError('') },
		save: async (done: string) => {
			setWorking(true)
			setError('')
			try {
				await saveSettings({ [name]: value })
				start.current = value
				toast(done)
			} catch (e) {
				setError(messageOf(e))
			}
			setWorking(false)
		},
	}
}

function Meanwhile({ text, follow }: { text: string; follow: () => void }) {
	return (
		<Banner tone="info" action={<button type="button" class="button" onClick={follow}>Use that</button>}>
			{settingsBy.value || 'Somebody'} changed it meanwhile: {text}.
		</Banner>
	)
}

function Save({ setting, children }: { setting: { isChanged: boolean; working: boolean; error: string }; children: ComponentChildren }) {
	const why = whyNot('change')
	return (
		<>
			{setting.error && <Banner tone="bad" alert>{setting.error}</Banner>}
			<div class="dialog-actions">
				<button type="submit" class="button primary" disabled={!!why || setting.working || !setting.isChanged}>{setting.working ? 'Saving…' : children}</button>
				{why && <span class="why">{why}</span>}
			</div>
		</>
	)
}

const approvalText = (on: boolean) => (on ? 'new machines wait for approval' : 'new machines need no approval')

function Approval() {
	const s = useSetting('devicesNeedApproval')
	return (
		<form onSubmit={e => { e.preventDefault(); void s.save(`From now on ${approvalText(s.value)}.`) }} noValidate>
			{s.others && <Meanwhile text={approvalText(settings.value!.devicesNeedApproval)} follow={s.follow} />}
			<label class="check">
				<input type="checkbox" checked={s.value} onChange={e => s.set(e.currentTarget.checked)} />
				<span>
					New machines wait for approval
					<span class="help">They reach nobody until somebody approves them, unless they join with a pre-approved key or an approved login. Machines that are in stay in.</span>
				</span>
			</label>
			<Save setting={s}>Save approval</Save>
		</form>
	)
}

// One that is on or off. text says what that means: "new machines wait for approval".
function Switch({ name, text, label, help, button }: {
	name: 'refuseClusterOverlap' | 'disableCgnatDropRule'
	text: (on: boolean) => string
	label: string
	help: string
	button: string
}) {
	const s = useSetting(name)
	return (
		<form onSubmit={e => { e.preventDefault(); void s.save(`From now on ${text(s.value)}.`) }} noValidate>
			{s.others && <Meanwhile text={text(settings.value![name])} follow={s.follow} />}
			<label class="check">
				<input type="checkbox" checked={s.value} onChange={e => s.set(e.currentTarget.checked)} />
				<span>{label}<span class="help">{help}</span></span>
			</label>
			<Save setting={s}>{button}</Save>
		</form>
	)
}

const overlapText = (on: boolean) => (on ? 'routes that another cluster claims are refused' : 'overlapping routes of clusters are only reported')
const cgnatText = (on: boolean) => (on ? 'Linux machines let in 100.64.0.0/10 from other networks' : 'Linux machines drop 100.64.0.0/10 from other networks')

function KeyDays() {
	const s = useSetting('keyDays')
	const configured = settings.value!.keyDaysConfigured
	const [days, setDays] = useState(String(s.value > 0 ? s.value : configured || 180))
	const [complaint, setComplaint] = useState('')
	const input = useRef<HTMLInputElement>(null)
	const kind = s.value < 0 ? 'configured' : s.value === 0 ? 'never' : 'days'
	const type = (text: string) => {
		setDays(text)
		setComplaint('')
		s.set(keyDaysComplaint(text) ? NaN : Number(text))
	}
	const submit = (e: Event) => {
		e.preventDefault()
		const wrong = Number.isNaN(s.value) ? keyDaysComplaint(days) : ''
		setComplaint(wrong)
		if (wrong) input.current?.focus()
		else void s.save(`Keys expire ${keyDaysText(s.value, configured)}.`)
	}
	const choice = (value: string, label: string, pick: () => void) => (
		<label class="choice">
			<input type="radio" name="key-days" checked={kind === value} onChange={() => { setComplaint(''); pick() }} /><span>{label}</span>
		</label>
	)
	return (
		<form onSubmit={submit} noValidate>
			{s.others && (
				<Meanwhile
					text={`keys expire ${keyDaysText(settings.value!.keyDays, configured)}`}
					follow={() => { s.follow(); setComplaint(''); if (settings.value!.keyDays > 0) setDays(String(settings.value!.keyDays)) }}
				/>
			)}
			<fieldset>
				<legend class="sr">Keys of machines expire</legend>
				<div class="choices">
					{choice('configured', `As configured: ${configured ? `${configured} days` : 'never'}`, () => s.set(-1))}
					{choice('days', 'After', () => type(days))}
					{kind === 'days' && (
						<span class="days">
							<input
								ref={input} type="number" min="1" max="3650" inputMode="numeric" aria-label="Days until keys of machines expire"
								aria-invalid={complaint ? true : undefined} aria-describedby={complaint ? 'key-days-error' : undefined}
								value={days} onInput={e => type(e.currentTarget.value)}
							/> days
						</span>
					)}
					{choice('never', 'Never', () => s.set(0))}
				</div>
				{complaint && <p class="error" id="key-days-error">{complaint}</p>}
				<p class="help">Counts from each sign-in: machines that are in keep their date until the next one. Tagged machines' keys never expire.</p>
			</fieldset>
			<Save setting={s}>Save expiry</Save>
		</form>
	)
}

const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => <div class="fact"><dt>{name}</dt><dd>{children}</dd></div>

function Server() {
	const [status, setStatus] = useState<ServerStatus | null>(null)
	const [error, setError] = useState('')
	useEffect(() => {
		fetchStatus().then(setStatus, e => setError(messageOf(e)))
	}, [])
	if (error) return <p class="error">Could not load it. {error}</p>
	if (!status) return <p class="muted">Loading…</p>
	const sources: Record<string, string> = { 'self-signed': 'Self-signed: clients pin it', acme: 'By ACME, renewed by itself', files: 'From files, read again when they change' }
	const { certificate } = status
	const expires = time(certificate?.expires)
	return (
		<dl>
			<Fact name="Version"><code>{status.version}</code></Fact>
			<Fact name="Address"><code>{status.serverUrl}</code></Fact>
			<Fact name="Names end in"><code>{status.baseDomain}</code></Fact>
			<Fact name="Certificate">{sources[certificate?.source ?? ''] ?? certificate?.source ?? 'None'}{expires !== null && `, until ${date(expires)}`}</Fact>
			<Fact name="Data"><code>{status.dataDir}</code></Fact>
			<Fact name="Running for">{duration(status.uptimeSeconds * 1000)}</Fact>
		</dl>
	)
}

export function SettingsPage() {
	wantSettings()
	const s = settings.value
	const may = ['owner', 'admin'].includes(session.value?.role ?? '')
	return (
		<>
			<PageHead title="Settings" />
			{settingsError.value && (
				<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => void fetchSettings()}>Try again</button>}>
					Could not load the settings. {settingsError.value}
				</Banner>
			)}
			{!s ? !settingsError.value && <Skeleton noun="settings" /> : (
				<div class="sections settings">
					<section aria-labelledby="approval">
						<h2 id="approval">Device approval</h2>
						{may ? <Approval /> : <p>{s.devicesNeedApproval ? 'On: new machines wait for approval, unless they join with a pre-approved key or an approved login.' : 'Off: new machines need no approval.'}</p>}
					</section>
					<section aria-labelledby="expiry">
						<h2 id="expiry">Key expiry</h2>
						{may ? <KeyDays /> : <p>Keys of machines expire {keyDaysText(s.keyDays, s.keyDaysConfigured)}. Tagged machines' keys never expire.</p>}
					</section>
					<section aria-labelledby="clusters">
						<h2 id="clusters">K3s clusters</h2>
						{may ? (
							<Switch
								name="refuseClusterOverlap" text={overlapText} label="Refuse overlapping routes" button="Save clusters"
								help="A route that another cluster claims is not approved, neither by the policy nor by hand. What is approved stays."
							/>
						) : <p>{overlapText(s.refuseClusterOverlap)}.</p>}
					</section>
					<section aria-labelledby="cgnat">
						<h2 id="cgnat">Other networks of 100.64.0.0/10</h2>
						{may ? (
							<Switch
								name="disableCgnatDropRule" text={cgnatText} label="Linux machines let them in" button="Save network"
								help="For machines that stand in such a network, or at a provider whose name servers are in it."
							/>
						) : <p>{cgnatText(s.disableCgnatDropRule)}.</p>}
					</section>
					{!may && <p class="why">Needs admin to change.</p>}
					<Quotas />
					<section aria-labelledby="server">
						<h2 id="server">Server</h2>
						<Server />
					</section>
				</div>
			)}
		</>
	)
}
