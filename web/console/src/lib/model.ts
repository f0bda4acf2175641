// What the console knows of a machine and a key, and what follows from it. Pure.
import { count, plural, WEEK, when } from './format'
import { waitingText } from './routes'

// A network that a machine carries, or would.
export interface Route {
	prefix: string
	advertised: boolean
	approved: boolean
	primary: boolean // of several machines with this route the one in use
	exit: boolean
	byPolicy: boolean // the policy approves it by itself
}

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
	routes: Route[]
	answersProbes: boolean // as far as it was asked
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

// A device that asks to join without a key. What it says of itself is cleaned of what could deceive the eye.
export interface Login {
	id: string
	hostname: string
	os: string
	osVersion: string
	version: string
	address: string
	machineKey: string
	machineKeyShort: string
	ephemeral: boolean
	tags: string[]
	nodeName: string // of the machine that it is already, or ''
	nodeUser: string
	created: number | null
	expires: number | null
	deletedBy?: string // how it ended, as far as it is known: "Approved by ann", or ''
}

// An SSH login that a policy's check rule holds.
export interface SSHCheck {
	id: string
	source: string // names of machines
	sourceUser: string // '' for tagged ones
	destination: string
	localUser: string
	period: number // seconds for which an approval counts; 0: for one connection
	created: number | null
	deletedBy?: string // as of logins
}

// What an administrator changes while the server runs.
export interface Settings {
	devicesNeedApproval: boolean
	keyDays: number // 0: never, -1: as configured
	keyDaysConfigured: number
	refuseClusterOverlap: boolean
	disableCgnatDropRule: boolean
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
	kind: 'pending' | 'expired' | 'expiring' | 'routes'
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
	const routes = waitingText(m)
	if (routes) out.push({ kind: 'routes', text: routes })
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

// What a key with these properties does, in one sentence or two. needsApproval: machines need approval on this server now.
export function keyMeaning(k: Pick<Key, 'reusable' | 'ephemeral' | 'preauthorized' | 'tags'>, needsApproval: boolean): string {
	const [who, join, wait, are, would] = k.reusable
		? ['Any number of machines', 'join', 'wait for approval', 'are', 'They']
		: ['One machine', 'joins', 'waits for approval', 'is', 'It']
	const tagged = k.tags.length ? `, tagged ${k.tags.join(' ')},` : ''
	const how = !needsApproval ? join : k.preauthorized ? `${join} without approval` : wait
	const gone = k.ephemeral ? ` and ${are} removed after going offline` : ''
	const later = needsApproval || k.preauthorized ? '' : ` ${would} would wait for approval if the settings asked for it.`
	return `${who}${tagged} ${how}${gone}.${later}`
}

export const loginName = (l: Login) => l.hostname || 'a device without a name'
export const sshSource = (c: SSHCheck) => (c.sourceUser ? `${c.source} of ${c.sourceUser}` : c.source)
export const loginSystem = (l: Login) => [osName(l.os), l.osVersion].filter(Boolean).join(' ') || 'Unknown system'

// Days until keys of machines expire, as typed; '' or what is wrong with it.
export const keyDaysComplaint = (days: string) =>
	/^\s*\d+\s*$/.test(days) && Number(days) >= 1 && Number(days) <= 3650 ? '' : 'Type a whole number of days from 1 to 3,650.'

export function keyDaysText(days: number, configured: number): string {
	const text = (n: number) => (n === 0 ? 'never' : `after ${plural(n, 'day')}`)
	return days < 0 ? `${text(configured)}, as the server is configured` : text(days)
}
