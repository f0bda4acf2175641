// Audit records as sentences. Pure.

export interface Change {
	what: string
	object: string
	before: Record<string, unknown> | null
	after: Record<string, unknown> | null
}

const verbs: Record<string, string> = {
	register: 'let join', reregister: 'let sign in again', logout: 'signed out', create: 'created', rename: 'renamed', tag: 'changed the tags of',
	expire: 'expired the key of', remove: 'deleted', approve: 'approved', authorize: 'approved', revoke: 'revoked', role: 'changed the role of',
	set: 'changed', ip: 'changed the address of', use: 'used', open: 'opened', key: 'changed the key expiry of',
}

const shown = (v: unknown): string => {
	if (Array.isArray(v)) return v.length ? v.join(' ') : 'none'
	if (v === null || v === undefined || v === '') return 'none'
	return typeof v === 'object' ? JSON.stringify(v) : String(v)
}

// What was done, with the object to follow: "renamed", "changed the tags of"; unknown words stay as they are.
export const deed = (what: string) => verbs[what.slice(what.indexOf('.') + 1)] ?? what

// Members that changed: "name edge → edge-1".
export function differences(c: Change): string[] {
	if (!c.before || !c.after) return []
	const out: string[] = []
	for (const name of Object.keys(c.after)) {
		const from = shown(c.before[name])
		const to = shown(c.after[name])
		if (from !== to && from.length + to.length < 120) out.push(`${name} ${from} → ${to}`)
	}
	return out
}

// The name of the object, as the record has it, else "node 7".
export function objectName(c: Change): string {
	const name = c.after?.name ?? c.before?.name ?? c.after?.description
	return typeof name === 'string' && name ? name : c.object
}
