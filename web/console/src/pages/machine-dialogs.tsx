// What can be done to machines; the same dialogs for the list and the page of one.
import { signal } from '@preact/signals'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { deletion, mustType } from '../lib/danger'
import { plural } from '../lib/format'
import { nameComplaint } from '../lib/joinline'
import type { Machine } from '../lib/model'
import { vocabulary } from '../lib/search'
import { later, problem, toast } from '../notices'
import { approveMachine, deleteMachine, expireMachine, forAll, machines, renameMachine, tagMachine, whyNot } from '../state'
import { Banner, Field } from '../ui/basics'
import { TagInput } from '../ui/combobox'
import { Confirm, Dialog } from '../ui/dialog'
import type { MenuItem } from '../ui/menu'

type Kind = 'rename' | 'tags' | 'add-tags' | 'expire' | 'delete'
const asked = signal<{ kind: Kind; ids: string[]; done?: () => void } | null>(null)

export const ask = (kind: Kind, ids: string[], done?: () => void) => { asked.value = { kind, ids, done } }

const nameOf = (id: string) => machines.data.find(id)?.name ?? id

export async function approve(ids: string[]) {
	if (ids.length > 1) {
		await forAll(ids, 'approved', approveMachine)
		return
	}
	const name = nameOf(ids[0]!)
	try {
		await approveMachine(ids[0]!)
		toast(`${name} is approved.`)
	} catch (e) {
		problem(`Could not approve ${name}. ${messageOf(e)}`)
	}
}

export function machineMenu(m: Machine): MenuItem[] {
	const why = whyNot('change')
	const items: MenuItem[] = [
		{ label: 'Rename…', run: () => ask('rename', [m.id]), whyNot: why },
		{ label: 'Edit tags…', run: () => ask('tags', [m.id]), whyNot: why },
		{ label: 'Expire key…', run: () => ask('expire', [m.id]), whyNot: why },
		{ label: 'Delete…', run: () => ask('delete', [m.id]), danger: true, whyNot: why },
	]
	if (!m.authorized) items.unshift({ label: 'Approve', run: () => void approve([m.id]), whyNot: why })
	return items
}

export function MachineDialogs() {
	const open = asked.value
	if (!open) return null
	const close = () => { asked.value = null }
	const { kind, ids, done } = open
	const one = machines.data.find(ids[0]!)
	if (!one) return null
	switch (kind) {
	case 'rename': return <Rename machine={one} onClose={close} />
	case 'tags': return <EditTags machine={one} onClose={close} />
	case 'add-tags': return <AddTags ids={ids} onClose={close} />
	case 'expire': return <Expire ids={ids} onClose={close} />
	case 'delete': return <Delete ids={ids} done={done} onClose={close} />
	}
}

function Rename({ machine, onClose }: { machine: Machine; onClose: () => void }) {
	const start = useRef(machine.name)
	const [name, setName] = useState(machine.name)
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const input = useRef<HTMLInputElement>(null)
	useEffect(() => input.current?.select(), [])
	machines.version.value
	const current = machines.data.find(machine.id)?.name ?? machine.name
	const submit = async (e: Event) => {
		e.preventDefault()
		const wanted = name.trim().toLowerCase()
		const wrong = nameComplaint(wanted)
		setError(wrong)
		if (wrong) {
			input.current?.focus()
			return
		}
		setWorking(true)
		try {
			await renameMachine(machine.id, wanted)
			toast(`${current} is called ${nameOf(machine.id)} now.`)
			onClose()
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
			input.current?.focus()
		}
	}
	return (
		<Dialog title={`Rename ${start.current}`} onClose={onClose}>
			<form onSubmit={submit} noValidate>
				{current !== start.current && (
					<Banner tone="info" action={<button type="button" class="button" onClick={() => setName(current)}>Use {current}</button>}>
						It was renamed to {current} meanwhile.
					</Banner>
				)}
				<Field label="Name" error={error} help={machine.hostname ? `The machine calls itself ${machine.hostname}.` : undefined}>
					{props => (
						<input
							{...props} ref={input} class="mono" type="text" autocomplete="off" autocapitalize="off" spellcheck={false} value={name}
							onInput={e => { setName(e.currentTarget.value); setError('') }}
						/>
					)}
				</Field>
				<p class="muted">Other machines reach it as <code>{name.trim().toLowerCase() || '…'}</code>; the old name ends at once.</p>
				<div class="dialog-actions">
					<button type="button" class="button" onClick={onClose}>Cancel</button>
					<button type="submit" class="button primary" disabled={working}>{working ? 'Saving…' : 'Rename machine'}</button>
				</div>
			</form>
		</Dialog>
	)
}

const sameTags = (a: string[], b: string[]) => a.length === b.length && a.every(t => b.includes(t))
const knownTags = () => vocabulary(machines.data.items.values()).tags

function EditTags({ machine, onClose }: { machine: Machine; onClose: () => void }) {
	const start = useRef(machine.tags)
	const known = useMemo(knownTags, [])
	const [tags, setTags] = useState(machine.tags)
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	machines.version.value
	const current = machines.data.find(machine.id)?.tags ?? machine.tags
	const removed = current.filter(t => !tags.includes(t))
	const submit = async (e: Event) => {
		e.preventDefault()
		if (removed.length) {
			const what = `${removed.join(', ')} from ${machine.name}`
			later(`Removing ${what} in 10\u00a0s.`, `Kept ${removed.join(', ')} on ${machine.name}.`,
				async options => {
					await tagMachine(machine.id, tags, options)
					if (!options) toast(`Removed ${what}.`)
				})
			onClose()
			return
		}
		setWorking(true)
		try {
			await tagMachine(machine.id, tags)
			toast(`${machine.name} has ${tags.join(', ') || 'no tags'} now.`)
			onClose()
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
		}
	}
	return (
		<Dialog title={`Tags of ${machine.name}`} onClose={onClose}>
			<form onSubmit={submit} noValidate>
				{!sameTags(current, start.current) && (
					<Banner tone="info" action={<button type="button" class="button" onClick={() => setTags(current)}>Use those</button>}>
						Its tags were changed to {current.join(', ') || 'none'} meanwhile.
					</Banner>
				)}
				<Field label="Tags" error={error} help="Enter adds a tag. A tagged machine belongs to its tags, not to a user, and its key does not expire.">
					{props => <TagInput {...props} tags={tags} known={known} onChange={t => { setTags(t); setError('') }} />}
				</Field>
				{removed.length > 0 && <p>Removing a tag takes effect after 10 seconds, in which you can undo it.</p>}
				<div class="dialog-actions">
					<button type="button" class="button" onClick={onClose}>Cancel</button>
					<button type="submit" class="button primary" disabled={working || sameTags(tags, current)}>{working ? 'Saving…' : 'Save tags'}</button>
				</div>
			</form>
		</Dialog>
	)
}

function AddTags({ ids, onClose }: { ids: string[]; onClose: () => void }) {
	const known = useMemo(knownTags, [])
	const [tags, setTags] = useState<string[]>([])
	const [working, setWorking] = useState(false)
	const submit = async (e: Event) => {
		e.preventDefault()
		setWorking(true)
		await forAll(ids, 'tagged', id => tagMachine(id, [...new Set([...(machines.data.find(id)?.tags ?? []), ...tags])]))
		onClose()
	}
	return (
		<Dialog title={`Add tags to ${plural(ids.length, 'machine')}`} onClose={onClose}>
			<form onSubmit={submit} noValidate>
				<Field label="Tags to add" help="Tags that they have already stay.">
					{props => <TagInput {...props} tags={tags} known={known} onChange={setTags} />}
				</Field>
				<div class="dialog-actions">
					<button type="button" class="button" onClick={onClose}>Cancel</button>
					<button type="submit" class="button primary" disabled={working || !tags.length}>{working ? 'Saving…' : 'Add tags'}</button>
				</div>
			</form>
		</Dialog>
	)
}

function Expire({ ids, onClose }: { ids: string[]; onClose: () => void }) {
	const what = useRef(ids.length === 1 ? nameOf(ids[0]!) : plural(ids.length, 'machine')).current
	return (
		<Confirm
			title={`Expire the key of ${what}?`} button={`Expire ${what}`} onClose={onClose}
			sentences={[
				ids.length === 1
					? 'It loses its connections at once and keeps its name and address.'
					: 'They lose their connections at once and keep their names and addresses.',
				`To come back, ${ids.length === 1 ? 'it has' : 'they have'} to sign in again, or join with a new auth key.`,
			]}
			onConfirm={async () => {
				if (ids.length > 1) {
					await forAll(ids, 'expired', expireMachine)
					return
				}
				await expireMachine(ids[0]!)
				toast(`The key of ${what} is expired.`)
			}}
		/>
	)
}

function Delete({ ids, done, onClose }: { ids: string[]; done?: () => void; onClose: () => void }) {
	// What was asked for stays what is asked, whatever happens to the rows meanwhile.
	const list = useRef(ids.flatMap(id => machines.data.items.get(id) ?? [])).current
	const what = list.length === 1 ? list[0]!.name : plural(list.length, 'machine')
	const type = mustType(list)
	return (
		<Confirm
			title={`Delete ${what}?`} button={`Delete ${what}`} sentences={deletion(list)} type={type} onClose={onClose}
			typeLabel={list.length === 1 ? `Type the name, ${type}, to delete it` : `Type their number, ${type}, to delete them`}
			onConfirm={async () => {
				if (list.length > 1) {
					await forAll(list.map(m => m.id), 'deleted', deleteMachine)
				} else {
					await deleteMachine(list[0]!.id)
					toast(`${what} is deleted.`)
				}
				done?.()
			}}
		/>
	)
}
