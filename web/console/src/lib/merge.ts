/*
 * The data of the page and what changes it. Pure.
 *
 * Lists are fetched while events already come in. Events wait until the list is there and are applied behind
 * it in their order; each carries the whole object, so the last one wins and nothing is lost or doubled.
 */
import type { Key, Login, Machine, Route, Settings, SSHCheck } from './model'

export interface Change<T> {
	id: string
	item: T | null // null: it is gone
	by: string
}

export class Collection<T extends { id: string; deletedBy?: string }> {
	items = new Map<string, T>()
	// Deleted by others; rows on the screen still show them.
	gone = new Map<string, T>()
	loaded = false
	private waiting: Change<T>[] | null = null

	// A fetch begins: events wait from here on.
	expect() {
		this.waiting ??= []
	}

	replace(items: T[]) {
		const before = this.items
		this.items = new Map(items.map(item => [item.id, item]))
		for (const [id, item] of before) if (!this.items.has(id)) this.bury({ ...item, deletedBy: '' })
		for (const id of this.items.keys()) this.gone.delete(id)
		this.loaded = true
		const waiting = this.waiting ?? []
		this.waiting = null
		waiting.forEach(change => this.apply(change))
	}

	// The fetch failed: what waited is applied to what there is.
	giveUp() {
		const waiting = this.waiting ?? []
		this.waiting = null
		waiting.forEach(change => this.apply(change))
	}

	apply(change: Change<T>) {
		if (this.waiting) {
			this.waiting.push(change)
			return
		}
		const { id, item, by } = change
		if (item) {
			this.items.set(id, item)
			this.gone.delete(id)
			return
		}
		const was = this.items.get(id)
		if (was) this.bury({ ...was, deletedBy: by })
		this.items.delete(id)
	}

	// Deleted by the reader's own hand: its row goes at once.
	forget(id: string) {
		this.items.delete(id)
		this.gone.delete(id)
	}

	find(id: string): T | undefined {
		return this.items.get(id) ?? this.gone.get(id)
	}

	private bury(item: T) {
		this.gone.set(item.id, item)
		if (this.gone.size > 1000) this.gone.delete(this.gone.keys().next().value!)
	}
}

type Json = Record<string, unknown>
const text = (v: unknown) => (typeof v === 'string' ? v : '')
const texts = (v: unknown) => (Array.isArray(v) ? v.filter(x => typeof x === 'string') : [])
const number = (v: unknown) => (typeof v === 'number' ? v : 0)
// RFC 3339 -> milliseconds; null stays null.
export const time = (v: unknown) => (typeof v === 'string' && Number.isFinite(Date.parse(v)) ? Date.parse(v) : null)

const routesOf = (v: unknown): Route[] => (Array.isArray(v) ? (v as Json[]) : []).map(r => ({
	prefix: text(r.prefix), advertised: r.advertised === true, approved: r.approved === true, primary: r.primary === true,
	exit: r.exit === true, byPolicy: r.byPolicy === true,
}))

export function machineOf(j: Json): Machine {
	return {
		id: text(j.id), name: text(j.name), fqdn: text(j.fqdn).replace(/\.$/, ''), hostname: text(j.hostname),
		user: text(j.user), tags: texts(j.tags), addresses: texts(j.addresses), endpoints: texts(j.endpoints),
		os: text(j.os), version: text(j.clientVersion), homeDerp: number(j.homeDerp), online: j.online === true,
		authorized: j.authorized !== false, ephemeral: j.ephemeral === true, created: time(j.created),
		lastSeen: time(j.lastSeen), keyExpires: time(j.keyExpires), expired: j.expired === true,
		keyId: text(j.keyId), nodeKey: text(j.nodeKey), machineKey: text(j.machineKey), routes: routesOf(j.routes),
		answersProbes: j.answersProbes !== false,
	}
}

export function keyOf(j: Json): Key {
	return {
		id: text(j.id), description: text(j.description), user: text(j.user), tags: texts(j.tags),
		reusable: j.reusable === true, ephemeral: j.ephemeral === true, preauthorized: j.preauthorized === true,
		state: text(j.state), uses: number(j.uses), created: time(j.created), expires: time(j.expires),
		revoked: time(j.revoked), lastUsed: time(j.lastUsed),
	}
}

// Texts of a device that nobody knows yet: without control characters and those that turn the direction of writing.
const deceptive = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/g
const stranger = (v: unknown) => text(v).replace(deceptive, ' ').trim()

export function loginOf(j: Json): Login {
	return {
		id: text(j.id), hostname: stranger(j.hostname), os: stranger(j.os), osVersion: stranger(j.osVersion), version: stranger(j.clientVersion),
		address: text(j.address), machineKey: text(j.machineKey), machineKeyShort: text(j.machineKeyShort), ephemeral: j.ephemeral === true,
		tags: texts(j.tags).map(stranger), nodeName: text(j.nodeName), nodeUser: text(j.nodeUser), created: time(j.created), expires: time(j.expires),
	}
}

export function sshOf(j: Json): SSHCheck {
	const source = (j.source ?? {}) as Json
	const destination = (j.destination ?? {}) as Json
	return {
		id: text(j.id), source: text(source.name), sourceUser: texts(source.tags).length ? '' : text(source.user), destination: text(destination.name),
		localUser: stranger(j.localUser), period: number(j.checkPeriodSeconds), created: time(j.created),
	}
}

export const settingsOf = (j: Json): Settings => ({
	devicesNeedApproval: j.devicesNeedApproval === true, keyDays: number(j.keyDays), keyDaysConfigured: number(j.keyDaysConfigured),
	refuseClusterOverlap: j.refuseClusterOverlap === true, disableCgnatDropRule: j.disableCgnatDropRule === true,
})
