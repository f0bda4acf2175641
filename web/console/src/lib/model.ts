// What the console knows of a machine and a key, and what follows from it. Pure.
import { count, WEEK, when } from './format'

export interface Machine {
	id: string
	name: string
	fqdn: string
	hostname: string
	user: string
	tags: string[]
	addresses: string[]
	endpoints: string[]
	os: string
	version: string
	homeDerp: number
	online: boolean
	authorized: boolean
	ephemeral: boolean
	created: number | null
	lastSeen: number | null
	keyExpires: number | null // null: never
	expired: boolean
	keyId: string // the auth key it joined with, '' for another way
	nodeKey: string
	machineKey: string
	deletedBy?: string // set while a row is still shown after its deletion
}

export interface Key {
	id: string
	description: string
	user: string
	tags: string[]
	reusable: boolean
	ephemeral: boolean
	preauthorized: boolean
	state: string // active, used, expired, revoked
	uses: number
	created: number | null
	expires: number | null // null: never
	revoked: number | null
	lastUsed: number | null
	deletedBy?: string
}

export type ShapeName = 'dot' | 'ring' | 'half' | 'triangle' | 'cross' | 'clock' | 'info'
export type Tone = 'ok' | 'warn' | 'bad' | 'info' | 'off'
// Shape, word and colour: none of them alone carries the meaning.
export interface Status {
	shape: ShapeName
	word: string
	tone: Tone
}

export const isExpired = (m: Machine, now: number) => m.expired || (m.keyExpires !== null && m.keyExpires <= now)

export function machineStatus(m: Machine, now: number): Status {
	if (m.deletedBy !== undefined) return { shape: 'cross', word: m.deletedBy ? `Deleted by ${m.deletedBy}` : 'Deleted', tone: 'off' }
	if (isExpired(m, now)) return { shape: 'clock', word: 'Expired', tone: 'bad' }
	if (m.online) return { shape: 'dot', word: 'Online', tone: 'ok' }
	return { shape: 'ring', word: 'Offline', tone: 'off' }
}

export interface Attention {
	kind: 'pending' | 'expired' | 'expiring'
	text: string
}

// Why a machine needs somebody, the most urgent first.
export function attention(m: Machine, now: number): Attention[] {
	const out: Attention[] = []
	if (m.deletedBy !== undefined) return out
	if (!m.authorized) out.push({ kind: 'pending', text: 'Waits for approval' })
	if (isExpired(m, now)) out.push({ kind: 'expired', text: 'Key expired: it has to sign in again' })
	else if (m.keyExpires !== null && m.keyExpires - now < WEEK) {
		out.push({ kind: 'expiring', text: `Key expires ${when(m.keyExpires, now)}` })
	}
	return out
}

export const isPending = (m: Machine) => !m.authorized && m.deletedBy === undefined

const osNames: Record<string, string> = {
	linux: 'Linux', windows: 'Windows', macos: 'macOS', ios: 'iOS', android: 'Android', freebsd: 'FreeBSD',
	openbsd: 'OpenBSD', tvos: 'tvOS', js: 'Browser',
}
export const osName = (os: string) => osNames[os.toLowerCase()] ?? os

export function keyStatus(k: Key, now: number): Status {
	if (k.deletedBy !== undefined) return { shape: 'cross', word: k.deletedBy ? `Deleted by ${k.deletedBy}` : 'Deleted', tone: 'off' }
	if (k.state === 'revoked') return { shape: 'cross', word: 'Revoked', tone: 'off' }
	if (k.state === 'used') return { shape: 'ring', word: 'Used up', tone: 'off' }
	if (k.state === 'expired' || (k.expires !== null && k.expires <= now)) {
		return { shape: 'clock', word: 'Expired', tone: 'off' }
	}
	return { shape: 'dot', word: 'Active', tone: 'ok' }
}

export const keyIsActive = (k: Key, now: number) => keyStatus(k, now).tone === 'ok'

export function keyUses(k: Key): string {
	if (!k.uses) return 'Not yet'
	return k.uses === 1 ? 'Once' : `${count(k.uses)} times`
}

// What a key with these properties does, in one sentence.
export function keyMeaning(k: Pick<Key, 'reusable' | 'ephemeral' | 'preauthorized' | 'tags'>): string {
	const [who, join, wait, are] = k.reusable
		? ['Any number of machines', 'join without approval', 'wait for approval', 'are']
		: ['One machine', 'joins without approval', 'waits for approval', 'is']
	const tagged = k.tags.length ? `, tagged ${k.tags.join(' ')},` : ''
	const gone = k.ephemeral ? ` and ${are} removed after going offline` : ''
	return `${who}${tagged} ${k.preauthorized ? join : wait}${gone}.`
}
