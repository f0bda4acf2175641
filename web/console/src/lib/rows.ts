/*
 * Which rows a list shows, and in which order, while the data changes under it. Pure.
 *
 * The list shows `shown`; the data, filter and sort would give `wanted`. Nothing comes, goes or moves under
 * the hand: the two drift apart until the reader asks for the new order. Only new rows at the top of a list
 * that nobody has touched come at once.
 */

// Length of the longest run of rows that keep their order (patience method, n log n).
function longestKept(positions: number[]): number {
	const tails: number[] = []
	for (const p of positions) {
		let low = 0
		let high = tails.length
		while (low < high) {
			const mid = (low + high) >> 1
			if (tails[mid]! < p) low = mid + 1
			else high = mid
		}
		tails[low] = p
	}
	return tails.length
}

// How many rows would come, go or move if `wanted` took the place of `shown`.
export function drift(shown: readonly string[], wanted: readonly string[]): number {
	if (shown === wanted) return 0
	const at = new Map<string, number>()
	wanted.forEach((id, i) => at.set(id, i))
	const kept: number[] = []
	for (const id of shown) {
		const i = at.get(id)
		if (i !== undefined) kept.push(i)
	}
	const gone = shown.length - kept.length
	const come = wanted.length - kept.length
	return gone + come + (kept.length - longestKept(kept))
}

// `shown` with the rows that are new in `wanted`, each behind the row that it follows there.
export function withNew(shown: readonly string[], wanted: readonly string[]): string[] {
	const have = new Set(shown)
	const behind = new Map<string | null, string[]>()
	let anchor: string | null = null
	for (const id of wanted) {
		if (have.has(id)) {
			anchor = id
			continue
		}
		const group = behind.get(anchor)
		if (group) group.push(id)
		else behind.set(anchor, [id])
	}
	if (!behind.size) return [...shown]
	const out = [...(behind.get(null) ?? [])]
	for (const id of shown) {
		out.push(id)
		const group = behind.get(id)
		if (group) out.push(...group)
	}
	return out
}

export interface RowWindow {
	rows: number[] // indexes to draw, ascending
	gaps: Map<number, number> // index of a row -> how many rows are left out before it
	after: number // rows left out at the end
}

// The rows between two scroll positions with some more, and those of `keep` (the focused one) wherever they are.
export function rowWindow(n: number, rowHeight: number, top: number, bottom: number, keep: number[], extra = 6): RowWindow {
	const first = Math.min(n, Math.max(0, Math.floor(top / rowHeight) - extra))
	const last = Math.max(first, Math.min(n, Math.ceil(bottom / rowHeight) + extra))
	const rows = [...keep.filter(i => i >= 0 && i < n && (i < first || i >= last))]
	for (let i = first; i < last; i++) rows.push(i)
	rows.sort((a, b) => a - b)
	const gaps = new Map<number, number>()
	let next = 0
	for (const i of rows) {
		if (i > next) gaps.set(i, i - next)
		next = i + 1
	}
	return { rows, gaps, after: n - next }
}
