// K3s clusters: what the server says of them, and what may be typed. Pure.
import { time } from './merge'

export interface Cluster {
	name: string
	tag: string
	recorded: boolean // false: known by the tag of its machines alone
	pods: string[]
	services: string[]
	lan: string[]
	routes: string[] // that its machines advertise
	nodes: number
	online: number
	keyId: string
	created: number | null
}

export interface Conflict {
	text: string
	clusters: [string, string]
	prefixes: string[]
	nodes: { id: string; name: string }[]
}

export interface Clusters {
	list: Cluster[]
	conflicts: Conflict[]
	refuses: boolean
}

// How K3s is started: by its own integration, or with flannel over the tailnet's interface.
export interface ClusterLines {
	vpnAuthServer: string
	vpnAuthAgent: string
	flannelServer: string
	flannelAgent: string
}

type Json = Record<string, unknown>
const text = (v: unknown) => (typeof v === 'string' ? v : '')
const texts = (v: unknown) => (Array.isArray(v) ? v.filter((s): s is string => typeof s === 'string') : [])
const number = (v: unknown) => (typeof v === 'number' ? v : 0)
const objects = (v: unknown) => (Array.isArray(v) ? (v as Json[]) : [])

export const clusterOf = (j: Json): Cluster => ({
	name: text(j.name), tag: text(j.tag), recorded: j.recorded === true, pods: texts(j.podCIDRs), services: texts(j.serviceCIDRs),
	lan: texts(j.lanPrefixes), routes: texts(j.routes), nodes: number(j.nodes), online: number(j.nodesOnline), keyId: text(j.keyId),
	created: time(j.created),
})

export const conflictOf = (j: Json): Conflict => ({
	text: text(j.text), clusters: [texts(j.clusters)[0] ?? '', texts(j.clusters)[1] ?? ''], prefixes: texts(j.prefixes),
	nodes: objects(j.nodes).map(n => ({ id: text(n.id), name: text(n.name) })),
})

export const clustersOf = (j: Json): Clusters => ({
	list: objects(j.clusters).map(clusterOf), conflicts: objects(j.conflicts).map(conflictOf), refuses: j.refusesOverlap === true,
})

export const linesOf = (v: unknown): ClusterLines => {
	const j = (v ?? {}) as Json
	return {
		vpnAuthServer: text(j.vpnAuthServer), vpnAuthAgent: text(j.vpnAuthAgent), flannelServer: text(j.flannelServer),
		flannelAgent: text(j.flannelAgent),
	}
}

// "Clusters a and b both claim 10.42.7.0/24." and what to do.
export function conflictSentence(c: Conflict): string {
	const said = c.text ? c.text[0]!.toUpperCase() + c.text.slice(1) : 'Two clusters claim the same addresses'
	const who = c.nodes.length ? ` Advertised by ${c.nodes.map(n => n.name).slice(0, 3).join(', ')}${c.nodes.length > 3 ? ` and ${c.nodes.length - 3} more` : ''}.` : ''
	return `${said}.${who}`
}

const label = /^[a-z0-9]([a-z0-9-]{0,53}[a-z0-9])?$/
export function clusterNameComplaint(name: string): string {
	if (!name) return 'Type a name.'
	if (name.length > 55) return `The name has ${name.length} characters, at most 55 are possible.`
	return label.test(name) ? '' : 'A name has the letters a to z, digits and hyphens, and begins and ends with a letter or digit.'
}

// "10.42.0.0/16, fd00:42::/56" -> its parts
export const cidrs = (line: string) => line.split(/[\s,]+/).filter(Boolean)
const cidr = /^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*)\/[0-9]{1,3}$/i
export function cidrsComplaint(line: string, most: number): string {
	const parts = cidrs(line)
	const bad = parts.find(p => !cidr.test(p))
	if (bad !== undefined) return `"${bad}" is no range. Write it as 10.42.0.0/16.`
	return parts.length > most ? `At most ${most} are possible.` : ''
}

export interface NewCluster {
	name: string
	podCIDRs?: string[]
	serviceCIDRs?: string[]
	lanPrefixes?: string[]
	dualStack: boolean
}
export interface MadeCluster {
	name: string
	key: string // '': not shown
	lines: ClusterLines
}
export const madeOf = (j: Json): MadeCluster => ({ name: String(j.name), key: typeof j.key === 'string' ? j.key : '', lines: linesOf(j.lines) })
