// Audit records as sentences. Pure.
import { date } from './format'

export interface Change {
	what: string
	object: string
	before: Record<string, unknown> | null
	after: Record<string, unknown> | null
}

// Alone, and in front of the object.
const verbs: Record<string, [string, string]> = {
	register: ['joined', 'joined'], reregister: ['signed in again', 'signed in again'], logout: ['signed out', 'signed out'],
	create: ['created it', 'created'], rename: ['renamed it', 'renamed'], tag: ['changed its tags', 'changed the tags of'],
	expire: ['expired its key', 'expired the key of'], remove: ['deleted it', 'deleted'], authorize: ['approved it', 'approved'],
	revoke: ['revoked it', 'revoked'], role: ['changed its role', 'changed the role of'], set: ['changed it', 'changed'],
	ip: ['changed its address', 'changed the address of'], use: ['used it', 'used'],
}
// What machines do themselves; who let them is the means.
const own = ['register', 'reregister', 'logout']

// Members that say something to people, and how they are called.
const members: Record<string, string> = {
	name: 'name', tags: 'tags', keyExpiry: 'key expiry', ip4: 'address', role: 'role', displayName: 'full name', description: 'description',
}

const shown = (v: unknown): string => {
	if (Array.isArray(v)) return v.length ? v.join(' ') : 'none'
	const text = v === null || v === undefined ? '' : String(v)
	if (/^0001-/.test(text)) return 'never'
	if (/^\d{4}-\d\d-\d\dT/.test(text)) return date(Date.parse(text))
	return text || 'none'
}

// The name of the object, as the record has it, else as it is called now, else "node 7".
export function objectName(c: Change, nameNow: (object: string) => string | undefined = () => undefined): string {
	const name = c.after?.name ?? c.before?.name ?? nameNow(c.object) ?? c.after?.description
	return typeof name === 'string' && name ? name : c.object
}

export interface Sentence {
	who: string
	text: string // what follows
}

// "ann renamed edge-1"; where the object is clear, "ann renamed it". Words that are not known stay as they are.
export function sentence(c: Change, actor: string, isClear: boolean, nameNow?: (object: string) => string | undefined): Sentence {
	if (c.what === 'session.open') return { who: actor, text: 'signed in' }
	const verb = c.what.slice(c.what.indexOf('.') + 1)
	const [alone, before] = verbs[verb] ?? [c.what, c.what]
	if (own.includes(verb)) return { who: isClear ? 'It' : objectName(c, nameNow), text: /^key /.test(actor) ? `${alone} with ${actor}` : alone }
	return { who: actor || 'The server', text: isClear ? alone : `${before} ${objectName(c, nameNow)}` }
}

// Members that changed: "name edge → edge-1".
export function differences(c: Change): string[] {
	if (!c.before || !c.after) return []
	const out: string[] = []
	for (const [name, word] of Object.entries(members)) {
		const from = shown(c.before[name])
		const to = shown(c.after[name])
		if (from !== to) out.push(`${word} ${from} → ${to}`)
	}
	return out
}
