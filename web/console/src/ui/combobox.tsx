// Text fields that suggest: the search line and the input of tags.
import { useId, useRef, useState } from 'preact/hooks'
import { normalTag, tagComplaint } from '../lib/joinline'
import type { Suggestion } from '../lib/search'
import { announce } from './basics'

interface Options {
	labels: string[]
	pick: (index: number) => void
}

// Keys and attributes of a combobox with a list below it.
function useListbox({ labels, pick }: Options) {
	const id = useId()
	const [open, setOpen] = useState(false)
	const [at, setAt] = useState(-1)
	const shown = open && labels.length > 0
	const active = at < labels.length ? at : -1
	const onKeyDown = (e: KeyboardEvent): boolean => {
		if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
			if (!labels.length) return false
			e.preventDefault()
			setOpen(true)
			const step = e.key === 'ArrowDown' ? 1 : -1
			setAt(shown ? (active + step + labels.length + (active < 0 && step < 0 ? 1 : 0)) % labels.length : 0)
			return true
		}
		if (e.key === 'Escape' && shown) {
			e.preventDefault()
			e.stopPropagation()
			setOpen(false)
			setAt(-1)
			return true
		}
		if (e.key === 'Enter' && shown && active >= 0) {
			e.preventDefault()
			pick(active)
			setAt(-1)
			return true
		}
		return false
	}
	return {
		id, shown, active, onKeyDown,
		typed: () => { setOpen(true); setAt(-1) },
		close: () => { setOpen(false); setAt(-1) },
		input: {
			role: 'combobox' as const, 'aria-autocomplete': 'list' as const, 'aria-expanded': shown,
			'aria-controls': shown ? id : undefined,
			'aria-activedescendant': shown && active >= 0 ? `${id}-${active}` : undefined,
		},
		list: (label: string) => shown && (
			<ul id={id} role="listbox" aria-label={label} class="listbox">
				{labels.map((text, i) => (
					<li
						key={text} id={`${id}-${i}`} role="option" aria-selected={i === active}
						// Not click: the input would lose its focus first.
						onPointerDown={e => { e.preventDefault(); pick(i); setAt(-1) }}
					>
						{text}
					</li>
				))}
			</ul>
		),
	}
}

export function Search({ value, onInput, suggestions, label, placeholder }: {
	value: string
	onInput: (value: string) => void
	suggestions: Suggestion[]
	label: string
	placeholder: string
}) {
	const input = useRef<HTMLInputElement>(null)
	const box = useListbox({
		labels: suggestions.map(s => s.label),
		pick: i => {
			onInput(suggestions[i]!.line)
			input.current?.focus()
		},
	})
	return (
		<div class="search">
			<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round">
				<circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3.5 3.5" />
			</svg>
			<input
				ref={input} id="search" type="text" enterkeyhint="search" aria-label={label} placeholder={placeholder} value={value}
				autocomplete="off" autocapitalize="off" spellcheck={false} aria-keyshortcuts="/ Control+K" {...box.input}
				onInput={e => { onInput(e.currentTarget.value); box.typed() }}
				onBlur={box.close}
				onKeyDown={e => {
					if (box.onKeyDown(e)) return
					if (e.key === 'Escape' && value) { e.preventDefault(); onInput('') }
				}}
			/>
			{box.list('Suggestions')}
		</div>
	)
}

export function TagInput({ id, tags, known, onChange, ...described }: {
	id: string
	tags: string[]
	known: string[]
	onChange: (tags: string[]) => void
	'aria-describedby'?: string
	'aria-invalid'?: boolean
}) {
	const [text, setText] = useState('')
	const [error, setError] = useState('')
	const input = useRef<HTMLInputElement>(null)
	const options = known.filter(t => !tags.includes(t) && (text === '' || t.toLowerCase().includes(text.trim().toLowerCase()))).slice(0, 8)
	const add = (raw: string): boolean => {
		const tag = normalTag(raw)
		if (!tag) return true
		const wrong = tagComplaint(tag)
		setError(wrong)
		if (wrong) return false
		setText('')
		if (!tags.includes(tag)) {
			onChange([...tags, tag])
			announce(`${tag} added`)
		}
		return true
	}
	const remove = (tag: string) => {
		onChange(tags.filter(t => t !== tag))
		announce(`${tag} removed`)
		input.current?.focus()
	}
	const box = useListbox({ labels: options, pick: i => add(options[i]!) })
	// What was typed and not ended by Enter counts, too.
	const leave = () => { box.close(); if (text) add(text) }
	const describedBy = [described['aria-describedby'], error && `${id}-tag`].filter(Boolean).join(' ') || undefined
	return (
		<>
			<div class="tag-input" onPointerDown={e => { if (e.target === e.currentTarget) { e.preventDefault(); input.current?.focus() } }}>
				{tags.map(t => (
					<span key={t} class="tag">
						{t}<button type="button" aria-label={`Remove ${t}`} onClick={() => remove(t)}>×</button>
					</span>
				))}
				<input
					ref={input} id={id} type="text" class="mono" value={text} placeholder={tags.length ? '' : 'tag:k3s'} autocomplete="off"
					autocapitalize="off" spellcheck={false} {...box.input} aria-describedby={describedBy}
					aria-invalid={error ? true : described['aria-invalid']}
					onInput={e => {
						const value = e.currentTarget.value
						setError('')
						if (/[\s,]$/.test(value) && add(value.replace(/[\s,]+$/, ''))) return
						setText(value)
						box.typed()
					}}
					onBlur={leave}
					onKeyDown={e => {
						if (box.onKeyDown(e)) return
						if (e.key === 'Enter' && text) { e.preventDefault(); add(text) }
						if (e.key === 'Backspace' && !text && tags.length) { e.preventDefault(); remove(tags[tags.length - 1]!) }
					}}
				/>
				{box.list('Known tags')}
			</div>
			{error && <p class="error" id={`${id}-tag`}>{error}</p>}
		</>
	)
}
