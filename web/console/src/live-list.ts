// A list that the server keeps true by events, drawn at most so often.
import { signal } from '@preact/signals'
import { get, messageOf } from './api'
import { Collection } from './lib/merge'

type Json = Record<string, unknown>

const RENDER_MS = 250 // at most four times a second

export class LiveList<T extends { id: string; deletedBy?: string }> {
	readonly data = new Collection<T>()
	readonly version = signal(0)
	readonly error = signal('')
	readonly loading = signal(false)
	readonly own = new Set<string>() // made by this page
	private timer: ReturnType<typeof setTimeout> | undefined
	private last = 0
	private wanted = false

	constructor(readonly noun: string, private readonly url: string, private readonly member: string, private readonly of: (j: Json) => T) {}

	// Draws soon: what comes within a quarter of a second is drawn together, and in one frame.
	changed(at_once = false) {
		if (at_once) {
			this.draw()
			return
		}
		if (this.timer !== undefined) return
		this.timer = setTimeout(() => requestAnimationFrame(() => this.draw()), Math.max(0, this.last + RENDER_MS - Date.now()))
	}

	private draw() {
		clearTimeout(this.timer)
		this.timer = undefined
		this.last = Date.now()
		this.version.value++
	}

	// Makes sure that the list is there, or on its way.
	want() {
		this.wanted = true
		// After a failure only when asked to, or when the server is back.
		if (!this.data.loaded && !this.loading.value && !this.error.value) void this.fetch()
	}

	async fetch() {
		if (this.loading.peek()) return
		this.loading.value = true
		this.data.expect()
		try {
			const answer = await get<Record<string, Json[]>>(this.url)
			this.data.replace((answer[this.member] ?? []).map(this.of))
			this.error.value = ''
		} catch (e) {
			this.data.giveUp()
			this.error.value = messageOf(e)
		}
		this.loading.value = false
		this.changed(true)
	}

	refetch() {
		if (this.wanted) void this.fetch()
	}

	take(id: string, j: Json | null, by: string) {
		this.data.apply({ id, item: j ? this.of(j) : null, by })
		this.changed()
	}

	forget(id: string) {
		this.data.forget(id)
		this.changed(true)
	}

	put(j: Json) {
		const item = this.of(j)
		if (!this.data.items.has(item.id)) this.own.add(item.id)
		if (item.id) this.data.apply({ id: item.id, item, by: '' })
		this.changed(true)
	}

	clear() {
		this.data.items = new Map()
		this.data.gone = new Map()
		this.data.loaded = false
		this.changed(true)
	}
}
