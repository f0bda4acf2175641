// Small parts: status words, times, copying, tags, banners, fields.
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useId, useRef, useState } from 'preact/hooks'
import { exact, when } from '../lib/format'
import type { ShapeName, Status } from '../lib/model'
import { now, whyNot, type Right } from '../state'

// What is said to screen readers only; one region, always there.
export const said = signal('')
export function announce(text: string) {
	said.value = ''
	setTimeout(() => { said.value = text }, 30)
}

const shapes: Record<ShapeName, ComponentChildren> = {
	dot: <circle cx="8" cy="8" r="5" fill="currentColor" />,
	ring: <circle cx="8" cy="8" r="4.2" />,
	half: <><circle cx="8" cy="8" r="4.2" /><path d="M8 3.8a4.2 4.2 0 0 1 0 8.4z" fill="currentColor" /></>,
	triangle: <path d="M8 2.5 14 13H2z" fill="currentColor" stroke-linejoin="round" />,
	cross: <path d="m3.8 3.8 8.4 8.4m0-8.4-8.4 8.4" stroke-width="2.4" />,
	clock: <><circle cx="8" cy="8.5" r="5" /><path d="M8 5.5v3l2 1.5M6 1.5h4" /></>,
	info: <><circle cx="8" cy="8" r="5.6" /><path d="M8 7.4V11M8 5h.01" stroke-width="1.8" /></>,
}
// Drawn, not taken from a font: not every font has them.
export const Shape = ({ name }: { name: ShapeName }) => (
	<svg class="shape" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round">
		{shapes[name]}
	</svg>
)

export const StatusWord = ({ status }: { status: Status }) => (
	<span class={`status ${status.tone}`}>
		<Shape name={status.shape} /> {status.word}
	</span>
)

// A time as seen from now; exact on hover and for machines. What has happened is never in a moment, however the clocks differ.
export function Time({ at, never = 'Never', full = false, past = false }: { at: number | null; never?: string; full?: boolean; past?: boolean }) {
	if (at === null) return <span class="muted">{never}</span>
	return (
		<time dateTime={new Date(at).toISOString()} title={exact(at)}>
			{when(past ? Math.min(at, now.value) : at, now.value)}{full && <span class="muted"> · {exact(at)}</span>}
		</time>
	)
}

// A line of a list of facts.
export const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => <div class="fact"><dt>{name}</dt><dd>{children}</dd></div>

export const Tags = ({ tags }: { tags: string[] }) => <>{tags.map(t => <span key={t} class="tag">{t}</span>)}</>

// Copies text; without a secure context it selects the text for the reader to copy.
export function Copy({ text, label, children, source }: {
	text: string
	label: string
	children?: ComponentChildren
	source?: () => Element | null
}) {
	const [word, setWord] = useState('')
	const button = useRef<HTMLButtonElement>(null)
	const copy = async () => {
		let done = 'Copied'
		try {
			await navigator.clipboard.writeText(text)
		} catch {
			const element = source?.() ?? button.current?.parentElement?.querySelector('code')
			if (element) getSelection()?.selectAllChildren(element)
			done = 'Selected: press Ctrl C'
		}
		setWord(done)
		announce(`${label}: ${done}`)
		setTimeout(() => setWord(''), 3000)
	}
	return (
		<button type="button" ref={button} class={children ? 'button' : 'copy'} aria-label={word ? `${label}: ${word}` : label} onClick={copy}>
			{children ? word || children : word ? <span class="copied">{word}</span> : <CopyIcon />}
		</button>
	)
}

const CopyIcon = () => (
	<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.4">
		<rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
		<path d="M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" />
	</svg>
)

// A line to be pasted elsewhere.
export function Line({ text, title, button = 'Copy line' }: { text: string; title: string; button?: string }) {
	const code = useRef<HTMLElement>(null)
	return (
		<div class="line">
			<div class="line-head">
				<span class="line-title">{title}</span>
				<Copy text={text} label={`${button}: ${title}`} source={() => code.current}>{button}</Copy>
			</div>
			<code ref={code} class="block" tabIndex={0} role="group" aria-label={title}>{text}</code>
		</div>
	)
}

export const toneShapes: Record<'info' | 'ok' | 'warn' | 'bad', ShapeName> = { info: 'info', ok: 'dot', warn: 'triangle', bad: 'cross' }
export function Banner({ tone, children, alert = false, action }: {
	tone: 'info' | 'ok' | 'warn' | 'bad'
	children: ComponentChildren
	alert?: boolean
	action?: ComponentChildren
}) {
	return (
		<div class={`banner ${tone}`} role={alert ? 'alert' : 'status'}>
			<Shape name={toneShapes[tone]} />
			<div class="banner-text">{children}</div>
			{action && <div class="banner-action">{action}</div>}
		</div>
	)
}

// A button that writes: disabled, with the reason, for those who may not and while nothing can be saved.
export function Act({ right = 'change', class: className = 'button', children, onClick, disabled = false, ...rest }: {
	right?: Right
	class?: string
	children: ComponentChildren
	onClick: (e: MouseEvent) => void
	id?: string
	disabled?: boolean
}) {
	const why = whyNot(right)
	const id = useId()
	return (
		<>
			<button type="button" class={className} disabled={!!why || disabled} aria-describedby={why ? id : undefined} onClick={onClick} {...rest}>
				{children}
			</button>
			{why && <span id={id} class="why">{why}</span>}
		</>
	)
}

// Label above, help and error below.
export function Field({ label, help, error, children }: {
	label: string
	help?: ComponentChildren
	error?: string
	children: (props: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }) => ComponentChildren
}) {
	const id = useId()
	const described = [help && `${id}-help`, error && `${id}-error`].filter(Boolean).join(' ')
	return (
		<div class="field">
			<label for={id}>{label}</label>
			{children({ id, 'aria-describedby': described || undefined, 'aria-invalid': error ? true : undefined })}
			{help && <p class="help" id={`${id}-help`}>{help}</p>}
			{error && <p class="error" id={`${id}-error`}>{error}</p>}
		</div>
	)
}

export const Skeleton = ({ noun }: { noun: string }) => (
	<div class="skeleton">
		<p class="sr" role="status">Loading {noun}</p>
		{[0, 1, 2, 3, 4, 5].map(i => <div key={i} class="bone" aria-hidden="true" />)}
	</div>
)
