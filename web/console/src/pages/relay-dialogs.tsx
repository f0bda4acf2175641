// What changes regions and relays.
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import {
	atHome, codeComplaint, emptyNode, homeLoss, hostText, nodeComplaints, regionIdComplaint, regionNameComplaint, regionOrder, relayNameComplaint,
	relayState, type NodeDraft, type Region, type RegionNode, type Relay,
} from '../lib/relays'
import { toast } from '../notices'
import { addNode, changeRegion, createRegion, createRelay, deleteRegion, deleteRelay, machines, regions, relays, removeNode } from '../state'
import { Banner, Field, Line, StatusWord } from '../ui/basics'
import { Confirm, Dialog } from '../ui/dialog'

export type Asked =
	| { kind: 'add-region' | 'add-relay' }
	| { kind: 'add-node' | 'change' | 'remove'; region: Region }
	| { kind: 'remove-node'; region: Region; node: RegionNode }
	| { kind: 'remove-relay'; relay: Relay }
export const asked = signal<Asked | null>(null)
const close = () => { asked.value = null }

export const regionList = () => {
	regions.version.value
	return [...regions.data.items.values()].sort(regionOrder)
}
export const relaysOf = (id: string) => {
	relays.version.value
	return [...relays.data.items.values()].filter(r => r.region === id).sort((a, b) => a.id.localeCompare(b.id))
}
export const home = (id: string) => {
	machines.version.value
	return atHome(machines.data.items.values(), id)
}
const isOnly = (r: Region) => r.nodes.length + relaysOf(r.id).length === 1

type Complaints = Partial<Record<string, string>>

function Text({ label, name, help, value, set, complaints }: {
	label: string
	name: string
	help?: ComponentChildren
	value: string
	set: (v: string) => void
	complaints: Complaints
}) {
	return (
		<Field label={label} help={help} error={complaints[name]}>
			{props => (
				<input
					{...props} name={name} type="text" autocomplete="off" autocapitalize="off" spellcheck={false} value={value}
					onInput={e => set(e.currentTarget.value)}
				/>
			)}
		</Field>
	)
}

// The form of a dialog. What is wrong with its fields is shown from the first try on, until it is right.
function useForm(check: () => Complaints, save: () => Promise<void>) {
	const [tries, setTries] = useState(0)
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const form = useRef<HTMLFormElement>(null)
	useLayoutEffect(() => form.current?.querySelector<HTMLInputElement>('[aria-invalid]')?.focus(), [tries])
	return {
		form, error, working,
		complaints: tries ? check() : {},
		submit: async (e: Event) => {
			e.preventDefault()
			if (Object.values(check()).some(Boolean)) {
				setTries(tries + 1)
				return
			}
			setWorking(true)
			setError('')
			try {
				await save()
			} catch (e) {
				setError(messageOf(e))
				setWorking(false)
			}
		},
	}
}

function FormEnd({ form, button, doing }: { form: { error: string; working: boolean }; button: string; doing: string }) {
	return (
		<>
			{form.error && <Banner tone="bad" alert>{form.error}</Banner>}
			<div class="dialog-actions">
				<button type="button" class="button" onClick={close}>Cancel</button>
				<button type="submit" class="button primary" disabled={form.working}>{form.working ? doing : button}</button>
			</div>
		</>
	)
}

const nodeFields = (draft: NodeDraft, i: number): Complaints =>
	Object.fromEntries(Object.entries(nodeComplaints(draft)).map(([name, text]) => [`${name}-${i}`, text]))

// A relay that runs already; names of its fields end in -i.
function NodeFields({ draft, i, set, complaints, optional = false }: {
	draft: NodeDraft
	i: number
	set: (d: NodeDraft) => void
	complaints: Complaints
	optional?: boolean
}) {
	const field = (label: string, name: keyof NodeDraft, help: string) => (
		<Text label={label} name={`${name}-${i}`} help={help} value={String(draft[name])} set={v => set({ ...draft, [name]: v })} complaints={complaints} />
	)
	const isWrongInside = ['stun', 'ipv4', 'ipv6', 'pin'].some(name => complaints[`${name}-${i}`])
	const check = (name: 'canPort80' | 'mesh', label: string, help: string) => (
		<label class="check">
			<input type="checkbox" checked={draft[name]} onChange={e => set({ ...draft, [name]: e.currentTarget.checked })} />
			<span>{label}<span class="help">{help}</span></span>
		</label>
	)
	return (
		<>
			{field('Host', 'host', optional ? 'A relay that runs already, such as derp.example.org or 192.0.2.7:8443. Empty: it comes later.' : 'Such as derp.example.org or 192.0.2.7:8443.')}
			<details open={isWrongInside || undefined}>
				<summary>Addresses, STUN and certificate</summary>
				{field('STUN port', 'stun', 'Empty: 3478. off: it answers no STUN.')}
				{field('IPv4 address', 'ipv4', 'So that clients need no DNS. none: it is not reached by IPv4.')}
				{field('IPv6 address', 'ipv6', 'Likewise.')}
				{field('Certificate', 'pin', 'Of a self-signed one its pin, sha256-raw:…; else the name that it is for. Empty: the host.')}
				{check('canPort80', 'Port 80', 'Its port 80 answers /generate_204.')}
				{check('mesh', 'Linked', 'Relays of the region pass on packets for its clients.')}
			</details>
		</>
	)
}

function AddRegion() {
	const [code, setCode] = useState('')
	const [name, setName] = useState('')
	const [id, setId] = useState('')
	const [drafts, setDrafts] = useState([emptyNode])
	// The first may stay empty: a region without relays yet.
	const isUsed = (d: NodeDraft, i: number) => i > 0 || drafts.length > 1 || JSON.stringify(d) !== JSON.stringify(emptyNode)
	const form = useForm(
		() => ({
			code: codeComplaint(code.trim()), name: regionNameComplaint(name.trim()), id: regionIdComplaint(id.trim()),
			...Object.assign({}, ...drafts.map((d, i) => (isUsed(d, i) ? nodeFields(d, i) : {}))),
		}),
		async () => {
			const made = await createRegion({
				code: code.trim(), ...(name.trim() ? { name: name.trim() } : {}), ...(id.trim() ? { id: Number(id) } : {}), nodes: drafts.filter(isUsed),
			})
			close()
			toast(made.nodes.length ? `Region ${made.name} is there; connected machines have it.` : `Region ${made.name} is there. It has no relay yet.`)
		},
	)
	return (
		<Dialog title="Add region" onClose={close} wide>
			<form ref={form.form} onSubmit={form.submit} noValidate>
				<Text label="Code" name="code" help="Its short name, such as tokyo." value={code} set={setCode} complaints={form.complaints} />
				<Text label="Name" name="name" help="For people. Empty: the code." value={name} set={setName} complaints={form.complaints} />
				<Text label="Number" name="id" help="Empty: the first that is free." value={id} set={setId} complaints={form.complaints} />
				{drafts.map((d, i) => (
					<fieldset key={i} class="part">
						<legend>{drafts.length > 1 ? `Relay ${i + 1}` : 'Relay'}</legend>
						<NodeFields draft={d} i={i} set={next => setDrafts(drafts.map((x, k) => (k === i ? next : x)))} complaints={form.complaints} optional={drafts.length === 1} />
						{drafts.length > 1 && (
							<button type="button" class="link" onClick={() => setDrafts(drafts.filter((_, k) => k !== i))}>Leave out relay {i + 1}</button>
						)}
					</fieldset>
				))}
				{drafts.length < 16 && <button type="button" class="button" onClick={() => setDrafts([...drafts, emptyNode])}>Another relay</button>}
				<FormEnd form={form} button="Add region" doing="Adding…" />
			</form>
		</Dialog>
	)
}

function AddNode({ region }: { region: Region }) {
	const [draft, setDraft] = useState(emptyNode)
	const form = useForm(() => nodeFields(draft, 0), async () => {
		await addNode(region.id, draft)
		close()
		toast(`Region ${region.name} has one relay more; connected machines have it.`)
	})
	return (
		<Dialog title={`Add a relay to ${region.name}`} onClose={close} wide>
			<p>One that runs already, of any make. For a new one on another machine take Add relay: it makes the line that starts it.</p>
			<form ref={form.form} onSubmit={form.submit} noValidate>
				<NodeFields draft={draft} i={0} set={setDraft} complaints={form.complaints} />
				<FormEnd form={form} button="Add relay" doing="Adding…" />
			</form>
		</Dialog>
	)
}

function Change({ region }: { region: Region }) {
	const [code, setCode] = useState(region.code)
	const [name, setName] = useState(region.name)
	regions.version.value
	const current = regions.data.items.get(region.id)
	const others = current && (current.code !== region.code || current.name !== region.name)
	const form = useForm(
		() => ({ code: codeComplaint(code.trim()), name: regionNameComplaint(name.trim()) || (name.trim() ? '' : 'Type a name.') }),
		async () => {
			await changeRegion(region.id, {
				...(code.trim() !== region.code ? { code: code.trim() } : {}), ...(name.trim() !== region.name ? { name: name.trim() } : {}),
			})
			close()
			toast(`Region ${name.trim()} is changed.`)
		},
	)
	return (
		<Dialog title={`Change names of ${region.name}`} onClose={close}>
			<form ref={form.form} onSubmit={form.submit} noValidate>
				{others && !form.working && <Banner tone="info">It was changed meanwhile: {current.name} ({current.code}). What you change here is put over that.</Banner>}
				<Text label="Code" name="code" value={code} set={setCode} complaints={form.complaints} />
				<Text label="Name" name="name" value={name} set={setName} complaints={form.complaints} />
				<FormEnd form={form} button="Save names" doing="Saving…" />
			</form>
		</Dialog>
	)
}

function Remove({ region }: { region: Region }) {
	const at = home(region.id).all
	return (
		<Confirm
			title={`Remove region ${region.name}?`} button={`Remove ${region.name}`} type={at > 0 ? region.code : null} onClose={close}
			sentences={[
				region.nodes.length ? `Machines are not told of ${region.nodes.length === 1 ? `${hostText(region.nodes[0]!)}` : `its ${region.nodes.length} relays`} any more.` : 'It has no relays.',
				homeLoss(at),
			]}
			onConfirm={async () => { await deleteRegion(region.id); toast(`Region ${region.name} is removed.`) }}
		/>
	)
}

function RemoveNode({ region, node }: { region: Region; node: RegionNode }) {
	return (
		<Confirm
			title={`Remove ${hostText(node)} from ${region.name}?`} button={`Remove ${node.name}`} onClose={close}
			sentences={[
				'Machines are not told of it any more. The relay itself goes on running.',
				isOnly(region) ? `It is the only relay of the region. ${homeLoss(home(region.id).all)}` : 'The region has others.',
			]}
			onConfirm={async () => { await removeNode(region.id, node.name); toast(`${hostText(node)} is removed from ${region.name}.`) }}
		/>
	)
}

function RemoveRelay({ relay }: { relay: Relay }) {
	const region = regions.data.items.get(relay.region)
	return (
		<Confirm
			title={`Remove relay ${relay.id}?`} button={`Remove ${relay.id}`} onClose={close}
			sentences={[
				relay.connected ? 'Its key is void: it stops serving at once.' : 'Its key is void, and it stops serving when it hears of that.',
				...(relay.announced ? ['Machines are not told of it any more.'] : []),
				...(region && relay.announced && isOnly(region) ? [`It is the only relay of region ${region.name}. ${homeLoss(home(region.id).all)}`] : []),
			]}
			onConfirm={async () => { await deleteRelay(relay.id); toast(`Relay ${relay.id} is removed: its key is void.`) }}
		/>
	)
}

// The line with its key, once; and what becomes of the relay while it is looked at.
function MadeRelay({ name, line }: { name: string; line: string }) {
	const [saved, setSaved] = useState(false)
	const [asks, setAsks] = useState(false)
	const heading = useRef<HTMLHeadingElement>(null)
	useLayoutEffect(() => heading.current?.focus(), [])
	relays.version.value
	const relay = relays.data.items.get(name)
	const hasCome = relay?.connected === true
	const done = () => { if (saved || hasCome || !relay) close(); else setAsks(true) }
	return (
		<Dialog title={`Relay ${name} added`} onClose={done} wide headingRef={heading}>
			<p>Run this on its machine. The key in it is shown only now.</p>
			<Line title="Start the relay" text={line} />
			<p class="help">It needs 443/tcp and 3478/udp from the internet; <code>--hostname NAME</code> if it has a name. Machines are told of it when this server can reach it.</p>
			{relay && (
				<p class="arrivals" role="status">
					{relay.node || relay.connected
						? <><StatusWord status={relayState(relay)} /> <span>{relay.reachable ? `${name} is here; connected machines have it.` : relayState(relay).text}</span></>
						: <><StatusWord status={{ word: 'Waiting', shape: 'half', tone: 'off' }} /> <span>It shows here when {name} comes.</span></>}
				</p>
			)}
			{asks && !saved && !hasCome && <Banner tone="warn" alert>Have you saved the line? Nobody can show its key again.</Banner>}
			<div class="dialog-actions">
				{!hasCome && (
					<label class="check">
						<input type="checkbox" checked={saved} onChange={e => setSaved(e.currentTarget.checked)} /><span>I have saved the line</span>
					</label>
				)}
				<span class="spring" />
				{asks && !saved && !hasCome && <button type="button" class="button" onClick={close}>Close without saving</button>}
				<button type="button" class="button primary" onClick={done}>Done</button>
			</div>
		</Dialog>
	)
}

function AddRelay() {
	const [made, setMade] = useState<{ name: string; line: string } | null>(null)
	const [name, setName] = useState('')
	const [region, setRegion] = useState('')
	const [code, setCode] = useState<string | null>(null) // null: the name
	const list = regionList().filter(r => r.source === 'api')
	const newCode = (code ?? name).trim()
	const same = list.find(r => r.code === newCode)
	const form = useForm(
		() => ({ name: relayNameComplaint(name.trim()), code: region ? '' : codeComplaint(newCode) }),
		async () => {
			const id = region || same?.id || (await createRegion({ code: newCode, nodes: [] })).id
			setRegion(id)
			const { line } = await createRelay(name.trim(), id)
			setMade({ name: name.trim(), line })
		},
	)
	if (made) return <MadeRelay {...made} />
	return (
		<Dialog title="Add relay" onClose={close} wide>
			<p>A relay on another machine: the same program, which one line starts. It serves the machines of this server and nobody else.</p>
			<form ref={form.form} onSubmit={form.submit} noValidate>
				<Text label="Name" name="name" help="Such as frankfurt." value={name} set={setName} complaints={form.complaints} />
				<Field label="Region" help="Relays of one region link with each other. One far from the others needs a region of its own.">
					{props => (
						<select {...props} value={region} onChange={e => setRegion(e.currentTarget.value)}>
							<option value="">A new one</option>
							{list.map(r => <option key={r.id} value={r.id}>{r.name}{r.name !== r.code && ` (${r.code})`}</option>)}
						</select>
					)}
				</Field>
				{!region && (
					<Text
						label="Code of the region" name="code" help={same ? `There is a region ${newCode} already: the relay comes into that.` : 'Its short name, at most 16 characters.'}
						value={code ?? name} set={setCode} complaints={form.complaints}
					/>
				)}
				<FormEnd form={form} button="Add relay" doing="Adding…" />
			</form>
		</Dialog>
	)
}

export function RelayDialogs() {
	const open = asked.value
	switch (open?.kind) {
	case 'add-region': return <AddRegion />
	case 'add-relay': return <AddRelay />
	case 'add-node': return <AddNode region={open.region} />
	case 'change': return <Change region={open.region} />
	case 'remove': return <Remove region={open.region} />
	case 'remove-node': return <RemoveNode region={open.region} node={open.node} />
	case 'remove-relay': return <RemoveRelay relay={open.relay} />
	default: return null
	}
}
