// Menus: one popover for the whole page, opened at the button that asks for it.
import { signal } from '@preact/signals'
import { useLayoutEffect, useRef } from 'preact/hooks'
import type { ComponentChildren } from 'preact'

export interface MenuItem {
	label: string
	run: () => void
	danger?: boolean
	whyNot?: string
}

interface OpenMenu {
	owner: string // names the button also after its row was drawn again
	anchor: HTMLElement
	label: string
	items: MenuItem[]
}
export const openMenu = signal<OpenMenu | null>(null)
let pressed = '' // whose menu was open when the pointer went down

export function MenuButton({ owner, label, items, class: className = 'icon-button', children }: {
	owner: string
	label: string
	items: () => MenuItem[]
	class?: string
	children: ComponentChildren
}) {
	const open = (anchor: HTMLElement) => { openMenu.value = { owner, anchor, label, items: items() } }
	return (
		<button
			type="button" class={className} aria-label={label} aria-haspopup="menu"
			aria-expanded={openMenu.value?.owner === owner}
			onPointerDown={() => { pressed = openMenu.value?.owner ?? '' }}
			onClick={e => {
				// The press that closed this menu does not open it again.
				if (e.detail > 0 && pressed === owner) return
				open(e.currentTarget)
			}}
			onKeyDown={e => {
				if (e.key !== 'ArrowDown') return
				e.preventDefault()
				open(e.currentTarget)
			}}
		>
			{children}
		</button>
	)
}

function place(menu: HTMLElement, anchor: HTMLElement) {
	const a = anchor.getBoundingClientRect()
	const m = menu.getBoundingClientRect()
	const below = a.bottom + 4 + m.height <= innerHeight
	menu.style.top = `${Math.max(8, below ? a.bottom + 4 : a.top - 4 - m.height)}px`
	menu.style.left = `${Math.max(8, Math.min(a.right - m.width, innerWidth - m.width - 8))}px`
}

export function MenuHost() {
	const menu = useRef<HTMLDivElement>(null)
	const open = openMenu.value
	useLayoutEffect(() => {
		const el = menu.current
		if (!open || !el) return
		el.showPopover()
		place(el, open.anchor)
		el.querySelector<HTMLElement>('[role=menuitem]')?.focus()
	}, [open])
	if (!open) return null

	const close = (back: boolean) => {
		if (openMenu.value !== open) return
		openMenu.value = null
		menu.current?.hidePopover()
		if (back && open.anchor.isConnected) open.anchor.focus()
	}
	const move = (e: KeyboardEvent) => {
		const items = [...menu.current!.querySelectorAll<HTMLElement>('[role=menuitem]')]
		const at = items.indexOf(document.activeElement as HTMLElement)
		let to = -1
		if (e.key === 'ArrowDown') to = (at + 1) % items.length
		else if (e.key === 'ArrowUp') to = (at + items.length - 1) % items.length
		else if (e.key === 'Home') to = 0
		else if (e.key === 'End') to = items.length - 1
		else if (e.key === 'Escape' || e.key === 'Tab') close(true)
		else if (e.key.length === 1 && e.key !== ' ') {
			const order = [...items.slice(at + 1), ...items.slice(0, at + 1)]
			const found = order.find(i => i.textContent!.trim().toLowerCase().startsWith(e.key.toLowerCase()))
			if (!found) return
			to = items.indexOf(found)
		} else return
		e.preventDefault()
		e.stopPropagation()
		items[to]?.focus()
	}
	return (
		<div
			ref={menu} popover="auto" role="menu" class="menu" aria-label={open.label} onKeyDown={move}
			onToggle={e => {
				if (e.newState !== 'closed') return
				if (openMenu.value === open) openMenu.value = null
			}}
		>
			{open.items.map(item => (
				<button
					key={item.label} type="button" role="menuitem" tabIndex={-1} class={item.danger ? 'danger' : ''}
					aria-disabled={item.whyNot ? true : undefined}
					onClick={() => {
						if (item.whyNot) return
						close(true)
						item.run()
					}}
				>
					{item.label}{item.whyNot && <span class="why"> {item.whyNot}</span>}
				</button>
			))}
		</div>
	)
}
