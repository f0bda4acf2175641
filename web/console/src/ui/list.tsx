/*
 * A list of thousands: a table where there is room, cards on a phone. Only the rows on the screen are in the document.
 * Rows keep their order, and stay, while the data changes under them (lib/rows).
 */
import type { ComponentChildren } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { signal } from '@preact/signals'
import { count } from '../lib/format'
import { drift, rowWindow, withNew } from '../lib/rows'
import { openMenu } from './menu'

const phone = matchMedia('(max-width: 639.9px)')
export const isPhone = signal(phone.matches)
phone.addEventListener('change', () => { isPhone.value = phone.matches })

export interface Column<T> {
	key: string
	label: string
	sortable?: boolean
	cell: (item: T) => ComponentChildren
}

interface Rows {
	shown: string[]
	changed: number // rows that would come, go or move
	refresh: () => void
}

// What the list shows. `view` names filter and sort: when it changes, the reader asked for another order.
export function useRows(
	wanted: string[], view: string, version: number,
	{ isInHand, isOwn, exists }: { isInHand: () => boolean; isOwn: (id: string) => boolean; exists: (id: string) => boolean },
): Rows {
	const state = useRef<{ shown: string[]; view: string | null }>({ shown: [], view: null })
	const [redraws, redraw] = useState(0)
	const shown = useMemo(() => {
		const s = state.current
		if (s.view !== view || (!s.shown.length && wanted.length)) s.shown = wanted
		else {
			// What the reader made comes at once, wherever the hand is.
			const untouched = !isInHand()
			const have = new Set(s.shown)
			s.shown = withNew(s.shown, wanted.filter(id => untouched || have.has(id) || isOwn(id)))
		}
		if (!s.shown.every(exists)) s.shown = s.shown.filter(exists)
		s.view = view
		return s.shown
	}, [view, version, redraws])
	const changed = useMemo(() => drift(shown, wanted), [shown, view, version])
	return {
		shown, changed,
		refresh: () => {
			state.current.shown = wanted
			redraw(n => n + 1)
		},
	}
}

interface ListProps<T> {
	label: string
	rows: string[]
	find: (id: string) => T | undefined
	nameOf: (item: T) => string
	columns: Column<T>[]
	card: (item: T) => ComponentChildren
	actions: (item: T) => ComponentChildren
	isGone: (item: T) => boolean
	sort: string // 'name', or '-name' for descending
	onSort: (sort: string) => void
	rowHeight: number
	cardHeight: number
	selected?: ReadonlySet<string>
	onSelect?: (ids: string[], on: boolean) => void
	rootRef: { current: HTMLDivElement | null }
}

// The part of the rows that the window shows.
function useWindow(n: number, height: number, body: { current: HTMLElement | null }, rows: string[]) {
	const [at, setAt] = useState({ top: 0, bottom: 1200 })
	const [focused, setFocused] = useState<string | null>(null)
	useLayoutEffect(() => {
		let frame = 0
		const measure = () => {
			frame = 0
			const top = -(body.current?.getBoundingClientRect().top ?? 0)
			const step = (x: number) => Math.floor(x / height) * height
			setAt(was => {
				const next = { top: step(top), bottom: step(top + innerHeight) + height }
				return was.top === next.top && was.bottom === next.bottom ? was : next
			})
		}
		const soon = () => { frame ||= requestAnimationFrame(measure) }
		measure()
		addEventListener('scroll', soon, { passive: true })
		addEventListener('resize', soon)
		return () => {
			cancelAnimationFrame(frame)
			removeEventListener('scroll', soon)
			removeEventListener('resize', soon)
		}
	}, [height])
	const keep = focused === null ? [] : [rows.indexOf(focused)]
	return {
		...rowWindow(n, height, at.top, at.bottom, keep), at,
		onFocusIn: (e: FocusEvent) => setFocused((e.target as Element).closest<HTMLElement>('[data-id]')?.dataset.id ?? null),
		onFocusOut: (e: FocusEvent) => { if (!body.current?.contains(e.relatedTarget as Node | null)) setFocused(null) },
	}
}

export function List<T>(props: ListProps<T>) {
	return isPhone.value ? <Cards {...props} /> : <Table {...props} />
}

function SelectRow<T>({ props, id, name }: { props: ListProps<T>; id: string; name: string }) {
	return (
		<input
			type="checkbox" aria-label={`Select ${name}`} checked={props.selected!.has(id)}
			onClick={e => {
				const on = e.currentTarget.checked
				const ids = [id]
				// With Shift: all from the one that was chosen before to this one.
				const from = lastSelected === null ? -1 : props.rows.indexOf(lastSelected)
				const to = props.rows.indexOf(id)
				if (e.shiftKey && from >= 0) ids.push(...props.rows.slice(Math.min(from, to), Math.max(from, to) + 1))
				lastSelected = id
				props.onSelect!(ids, on)
			}}
		/>
	)
}
let lastSelected: string | null = null

function Table<T>(props: ListProps<T>) {
	const { rows, columns, sort, rowHeight, selected } = props
	const body = useRef<HTMLTableSectionElement>(null)
	const view = useWindow(rows.length, rowHeight, body, rows)
	const onScreen = rows.slice(Math.max(0, Math.ceil(view.at.top / rowHeight)), Math.max(0, Math.floor(view.at.bottom / rowHeight)))
	const all = selected && onScreen.length > 0 && onScreen.every(id => selected.has(id))
	const head = useRef<HTMLInputElement>(null)
	useEffect(() => {
		if (head.current) head.current.indeterminate = !all && !!selected && onScreen.some(id => selected.has(id))
	})
	const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false]
	return (
		<div class="list" ref={props.rootRef}>
			<table aria-label={props.label} aria-rowcount={rows.length + 1} style={{ '--row': `${rowHeight}px` }}>
				<thead>
					<tr aria-rowindex={1}>
						{selected && (
							<th class="c-check">
								<input
									ref={head} type="checkbox" aria-label="Select the rows on the screen" checked={!!all}
									onClick={() => props.onSelect!(onScreen, !all)}
								/>
							</th>
						)}
						{columns.map(c => (
							<th key={c.key} scope="col" class={`c-${c.key}`} aria-sort={c.key !== key ? undefined : descending ? 'descending' : 'ascending'}>
								{c.sortable ? (
									<button type="button" onClick={() => props.onSort(c.key === key && !descending ? `-${c.key}` : c.key)}>
										{c.label} <span class="arrow" aria-hidden="true">{c.key !== key ? '' : descending ? '↓' : '↑'}</span>
									</button>
								) : c.label}
							</th>
						))}
						<th scope="col" class="c-actions"><span class="sr">Actions</span></th>
					</tr>
				</thead>
				<tbody ref={body} onFocusIn={view.onFocusIn} onFocusOut={view.onFocusOut}>
					{view.rows.map(i => {
						const id = rows[i]!
						const item = props.find(id)
						const gap = view.gaps.get(i)
						if (!item) return null
						const gone = props.isGone(item)
						return [
							gap && <Gap key={`gap-${id}`} height={gap * rowHeight} />,
							<tr key={id} data-id={id} aria-rowindex={i + 2} class={gone ? 'gone' : selected?.has(id) ? 'selected' : ''}>
								{selected && <td class="c-check">{!gone && <SelectRow props={props} id={id} name={props.nameOf(item)} />}</td>}
								{columns.map((c, n) => n === 0
									? <th key={c.key} scope="row" class={`c-${c.key}`}>{c.cell(item)}</th>
									: <td key={c.key} class={`c-${c.key}`}>{c.cell(item)}</td>)}
								<td class="c-actions">{!gone && props.actions(item)}</td>
							</tr>,
						]
					})}
					{view.after > 0 && <Gap height={view.after * rowHeight} />}
				</tbody>
			</table>
		</div>
	)
}

// One cell: a colspan would bring back columns that a narrow window hides.
const Gap = ({ height }: { height: number }) => (
	<tr class="gap" aria-hidden="true"><td style={{ height: `${height}px` }} /></tr>
)

function Cards<T>(props: ListProps<T>) {
	const { rows, cardHeight, selected } = props
	const body = useRef<HTMLUListElement>(null)
	const view = useWindow(rows.length, cardHeight, body, rows)
	return (
		<div class="list" ref={props.rootRef}>
			<ul class="cards" role="list" aria-label={props.label} ref={body} style={{ '--card': `${cardHeight}px` }} onFocusIn={view.onFocusIn} onFocusOut={view.onFocusOut}>
				{view.rows.map(i => {
					const id = rows[i]!
					const item = props.find(id)
					if (!item) return null
					const gone = props.isGone(item)
					return (
						<li
							key={id} data-id={id} aria-setsize={rows.length} aria-posinset={i + 1} class={gone ? 'card gone' : 'card'}
							style={{ marginTop: `${(view.gaps.get(i) ?? 0) * cardHeight}px` }}
						>
							{selected && !gone && <SelectRow props={props} id={id} name={props.nameOf(item)} />}
							<div class="card-body">{props.card(item)}</div>
							{!gone && props.actions(item)}
						</li>
					)
				})}
				{view.after > 0 && <li aria-hidden="true" class="card-gap" style={{ height: `${view.after * cardHeight}px` }} />}
			</ul>
		</div>
	)
}

// Stays in sight below a list, so that nothing above it moves when it comes: what is selected, and what waits to be put in order.
export function BottomBar({ changed, refresh, children }: { changed: number; refresh: () => void; children?: ComponentChildren }) {
	return (
		<div class="bottom-bar">
			{children}
			{changed > 0 && (
				<button type="button" class="button small changed" onClick={refresh}>{count(changed)} changed: show in order</button>
			)}
		</div>
	)
}

// Has the reader a hand on the list? Then nothing moves in it.
export function isInHand(root: HTMLElement | null, selected: number): boolean {
	if (!root) return false
	return scrollY > 4 || selected > 0 || openMenu.value !== null || document.querySelector('dialog[open]') !== null
		|| root.contains(document.activeElement) || root.matches(':hover')
}
