// Quotas of the relay: what the server says of them, and what may be typed. Pure.
import { plural, rate } from './format'

export interface Quota {
	subject: string // "default", "tag:k3s", "user:ann", "node:nas"
	kind: 'default' | 'tag' | 'user' | 'node'
	name: string
	bytesPerSecond: number // 0: no limit
	rate: string // exactly, as it may be typed
	isSet: boolean // false: as configured
	nodes: number
}

type Json = Record<string, unknown>
const text = (v: unknown) => (typeof v === 'string' ? v : '')
const number = (v: unknown) => (typeof v === 'number' ? v : 0)
const kinds = ['default', 'tag', 'user', 'node'] as const

export const quotaOf = (j: Json): Quota => ({
	subject: text(j.subject), kind: kinds.find(k => k === j.kind) ?? 'node', name: text(j.name), bytesPerSecond: number(j.bytesPerSecond), rate: text(j.rate),
	isSet: j.source === 'api', nodes: number(j.nodes),
})
export const quotasOf = (j: Json): Quota[] => (Array.isArray(j.quotas) ? (j.quotas as Json[]).map(quotaOf) : [])

export const rateText = (q: Quota) => (q.bytesPerSecond === 0 ? 'No limit' : rate(q.bytesPerSecond))

// "Each machine, for itself", "Machines with tag:k3s, together".
export function whose(q: Quota): string {
	switch (q.kind) {
	case 'default': return 'Each machine, unless it has a quota of its own'
	case 'tag': return `Machines with ${q.name}, together`
	case 'user': return `Untagged machines of ${q.name}, together`
	default: return q.name
	}
}
export const howMany = (q: Quota) => (q.kind === 'node' ? '' : plural(q.nodes, 'machine'))

// What is wrong with a rate that was typed; '' for nothing. The server has the last word.
export function rateComplaint(line: string): string {
	if (/^(none|unlimited)$/i.test(line.trim())) return ''
	if (/^\d+(\.\d+)? ?([kmgt]i?)?(b|bit|bits|byte|bytes)(\/s|ps)?$/i.test(line.trim()) || /^\d+$/.test(line.trim())) return ''
	return 'A rate is a number with a unit: 10 MB/s, 800 kbit/s. Or none.'
}
export const subjectComplaint = (subject: string) => (subject.trim() ? '' : 'Whose? A machine, a user, a tag such as tag:k3s, or default.')
