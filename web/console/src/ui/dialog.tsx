// A modal dialog: the browser's own, so that focus stays in and returns.
import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { Banner, Field } from './basics'

export function Dialog({ title, onClose, children, wide = false, headingRef }: {
	title: string
	onClose: () => void // Escape, or the button; the owner decides
	children: ComponentChildren
	wide?: boolean
	headingRef?: { current: HTMLHeadingElement | null }
}) {
	const dialog = useRef<HTMLDialogElement>(null)
	const id = useId()
	useLayoutEffect(() => {
		const d = dialog.current!
		const before = document.activeElement
		d.showModal()
		return () => {
			d.close()
			// What was focused may have gone meanwhile, with the row that was deleted.
			if (!(before instanceof HTMLElement && before.isConnected) || document.activeElement === document.body) {
				setTimeout(() => {
					if (document.activeElement === document.body) document.querySelector<HTMLElement>('h1')?.focus()
				})
			}
		}
	}, [])
	return (
		<dialog
			ref={dialog} class={wide ? 'wide' : ''} aria-labelledby={id}
			onCancel={e => { e.preventDefault(); onClose() }}
			onKeyDown={e => {
				if (e.key !== 'Escape' || e.defaultPrevented) return
				e.preventDefault()
				e.stopPropagation()
				onClose()
			}}
		>
			<h2 id={id} tabIndex={headingRef ? -1 : undefined} ref={headingRef}>{title}</h2>
			{children}
		</dialog>
	)
}

// Asks before something that cannot be undone. Cancel has the focus; `type` has to be typed, if given.
export function Confirm({ title, button, sentences, type, typeLabel, onConfirm, onClose, tone = 'danger' }: {
	title: string
	button: string
	sentences: string[]
	type?: string | null
	typeLabel?: string
	onConfirm: () => Promise<void>
	onClose: () => void
	tone?: 'danger' | 'primary'
}) {
	const [typed, setTyped] = useState('')
	const [working, setWorking] = useState(false)
	const [error, setError] = useState('')
	const [wrong, setWrong] = useState(false)
	const input = useRef<HTMLInputElement>(null)
	const submit = async (e: Event) => {
		e.preventDefault()
		if (type && typed.trim() !== type) {
			setWrong(true)
			input.current?.focus()
			return
		}
		setWorking(true)
		try {
			await onConfirm()
			onClose()
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
		}
	}
	return (
		<Dialog title={title} onClose={onClose}>
			<form onSubmit={submit} noValidate>
				<ul class="plain">{sentences.map(s => <li key={s}>{s}</li>)}</ul>
				{type && (
					<Field label={typeLabel ?? `Type ${type} to confirm`} error={wrong ? `Type ${type} exactly.` : ''}>
						{props => (
							<input
								{...props} ref={input} class="mono" type="text" autocomplete="off" autocapitalize="off" spellcheck={false} value={typed}
								onInput={e => { setTyped(e.currentTarget.value); setWrong(false) }}
							/>
						)}
					</Field>
				)}
				{error && <Banner tone="bad" alert>{error}</Banner>}
				<div class="dialog-actions">
					<button type="button" class="button" autofocus onClick={onClose}>Cancel</button>
					<button type="submit" class={`button ${tone}`} disabled={working}>{working ? 'Working…' : button}</button>
				</div>
			</form>
		</Dialog>
	)
}
