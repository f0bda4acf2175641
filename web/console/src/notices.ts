// What is said at the edge of the page: done, wrong, and what can still be undone.
import { signal } from '@preact/signals'
import { messageOf } from './api'

export interface Toast {
	id: number
	text: string
	undo?: () => void
}
export const toasts = signal<Toast[]>([])
export const problems = signal<{ id: number; text: string }[]>([])
let serial = 0

export function toast(text: string, undo?: () => void): number {
	const id = ++serial
	toasts.value = [...toasts.value.slice(-2), { id, text, undo }]
	return id
}
export const dropToast = (id: number) => { toasts.value = toasts.value.filter(t => t.id !== id) }
// Errors stay until they are read.
export const problem = (text: string) => { problems.value = [...problems.value, { id: ++serial, text }] }
export const dropProblem = (id: number) => { problems.value = problems.value.filter(p => p.id !== id) }

/*
 * A change that takes something away waits for ten seconds in which it can be undone. Leaving the page carries it out.
 * Returns what undoes it; over is called when it is undone, or done.
 */
export const UNDO_MS = 10_000
const pending = new Set<(options?: RequestInit) => void>()

export function later(text: string, undone: string, fn: (options?: RequestInit) => Promise<void>, over = () => {}) {
	let timer: ReturnType<typeof setTimeout>
	const end = () => {
		clearTimeout(timer)
		pending.delete(run)
		dropToast(id)
	}
	const run = (options?: RequestInit) => {
		end()
		fn(options).catch(e => problem(messageOf(e))).finally(over)
	}
	const undo = () => {
		end()
		over()
		toast(undone)
	}
	const id = toast(text, undo)
	pending.add(run)
	timer = setTimeout(run, UNDO_MS)
	return undo
}

window.addEventListener('pagehide', () => [...pending].forEach(run => run({ keepalive: true })))
