// Quotas of the relay, in the settings: the list, and a line to set one.
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { howMany, rateComplaint, rateText, subjectComplaint, whose, type Quota } from '../lib/quotas'
import { problem, toast } from '../notices'
import { machines, quotas, quotasError, setQuota, unsetQuota, watchQuotas, whyNot } from '../state'
import { Banner } from '../ui/basics'

// What one may begin to type; more than these the server knows.
function subjects(): string[] {
	const tags = new Set<string>()
	const users = new Set<string>()
	const names: string[] = []
	for (const m of machines.data.items.values()) {
		names.push(m.name)
		m.tags.forEach(t => tags.add(t))
		if (!m.tags.length) users.add(m.user)
	}
	return ['default', ...[...tags].sort(), ...[...users].sort(), ...names.sort().slice(0, 200)]
}

function Row({ q, edit }: { q: Quota; edit: (q: Quota) => void }) {
	const why = whyNot('relays')
	const [working, setWorking] = useState(false)
	const unset = async () => {
		setWorking(true)
		try {
			await unsetQuota(q.subject)
			toast(q.kind === 'default' ? 'The default is as configured again.' : `The quota of ${q.name} is gone.`)
		} catch (e) {
			problem(`Could not remove the quota of ${q.name}. ${messageOf(e)}`)
		}
		setWorking(false)
	}
	return (
		<li class="quota">
			<span class="quota-who">{whose(q)}{howMany(q) && <span class="muted"> · {howMany(q)}</span>}</span>
			<span class="quota-rate">{rateText(q)}{!q.isSet && <span class="muted"> · as configured</span>}</span>
			{!why && (
				<span class="quota-do">
					<button type="button" class="button" aria-label={`Change the quota of ${q.name}`} onClick={() => edit(q)}>Change</button>
					{q.isSet && <button type="button" class="button" disabled={working} aria-label={`Remove the quota of ${q.name}`} onClick={unset}>Remove</button>}
				</span>
			)}
		</li>
	)
}

function Form({ form }: { form: { subject: string; rate: string; set: (subject: string, rate: string) => void } }) {
	const why = whyNot('relays')
	const id = useId()
	const [complaints, setComplaints] = useState({ subject: '', rate: '' })
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const subject = useRef<HTMLInputElement>(null)
	const rate = useRef<HTMLInputElement>(null)
	const type = (s: string, r: string) => { form.set(s, r); setComplaints({ subject: '', rate: '' }); setError('') }
	const submit = async (e: Event) => {
		e.preventDefault()
		const wrong = { subject: subjectComplaint(form.subject), rate: rateComplaint(form.rate) }
		setComplaints(wrong)
		if (wrong.subject) subject.current?.focus()
		else if (wrong.rate) rate.current?.focus()
		if (wrong.subject || wrong.rate) return
		setWorking(true)
		try {
			const q = await setQuota(form.subject.trim(), form.rate.trim())
			toast(`${whose(q)}: ${rateText(q)}.`)
			form.set('', '')
			subject.current?.focus()
		} catch (failure) {
			setError(messageOf(failure))
		}
		setWorking(false)
	}
	const field = (name: 'subject' | 'rate', label: string, input: typeof rate, value: string, typed: (v: string) => void, placeholder: string) => (
		<div class="field">
			<label for={`${id}-${name}`}>{label}</label>
			<input
				ref={input} id={`${id}-${name}`} type="text" value={value} placeholder={placeholder} autocomplete="off" spellcheck={false}
				list={name === 'subject' ? `${id}-list` : undefined} aria-invalid={complaints[name] ? true : undefined}
				aria-describedby={complaints[name] ? `${id}-${name}-error` : undefined} onInput={e => typed(e.currentTarget.value)}
			/>
			{complaints[name] && <p class="error" id={`${id}-${name}-error`}>{complaints[name]}</p>}
		</div>
	)
	return (
		<form class="quota-form" onSubmit={submit} noValidate>
			{error && <Banner tone="bad" alert>{error}</Banner>}
			<div class="quota-fields">
				{field('subject', 'Whose', subject, form.subject, v => type(v, form.rate), 'machine, user, tag:…, default')}
				{field('rate', 'May send', rate, form.rate, v => type(form.subject, v), '10 MB/s')}
				<button type="submit" class="button primary" disabled={!!why || working}>{working ? 'Setting…' : 'Set quota'}</button>
			</div>
			<datalist id={`${id}-list`}>{subjects().map(s => <option key={s} value={s} />)}</datalist>
		</form>
	)
}

export function Quotas() {
	useEffect(watchQuotas, [])
	const [form, setForm] = useState({ subject: '', rate: '' })
	const list = quotas.value
	const why = whyNot('relays')
	const section = useRef<HTMLElement>(null)
	machines.version.value
	const edit = (q: Quota) => {
		setForm({ subject: q.subject, rate: q.bytesPerSecond ? q.rate : '' })
		section.current?.querySelectorAll<HTMLInputElement>('form input')[1]?.focus()
	}
	return (
		<section aria-labelledby="quotas" ref={section}>
			<h2 id="quotas">Quotas of the relay</h2>
			<p class="help">What may be sent through this server's relay. A machine keeps to its own quota, and with others to those of its tags or its user; direct connections are not limited.</p>
			{quotasError.value && <Banner tone="bad" alert>Could not load the quotas. {quotasError.value}</Banner>}
			{!list ? !quotasError.value && <p class="muted">Loading…</p> : (
				<ul class="plain quotas" role="list">{list.map(q => <Row key={q.subject} q={q} edit={edit} />)}</ul>
			)}
			{why ? <p class="why">{why} to change.</p> : <Form form={{ ...form, set: (subject, rate) => setForm({ subject, rate }) }} />}
		</section>
	)
}
