// Regions of the DERP map and their relays: what the server says of them, and what may be typed. Pure.
import { plural } from './format'
import { time } from './merge'
import type { Machine, Status } from './model'

// A place where clients find a relay.
export interface RegionNode {
	name: string
	hostname: string
	ipv4: string // '': as the hostname says; 'none'
	ipv6: string
	derpPort: number
	stunPort: number // -1: none
	certName: string // 'sha256-raw:…', a name, or '': the hostname
	canPort80: boolean
	mesh: boolean
}

export interface Region {
	id: string
	code: string
	name: string
	source: string // own, config, api
	created: number | null
	nodes: RegionNode[] // without those of relays that sign in here
	deletedBy?: string
}

// A relay on another machine that signs in here.
export interface Relay {
	id: string // its name
	region: string
	connected: boolean
	reachable: boolean
	announced: boolean
	trouble: string
	address: string
	node: RegionNode | null // null: it has not come yet
	version: string
	created: number | null
	lastSeen: number | null
	deletedBy?: string
}

type Json = Record<string, unknown>
const text = (v: unknown) => (typeof v === 'string' ? v : '')
const port = (v: unknown, usual: number) => (typeof v === 'number' ? v : usual)

export const nodeOf = (j: Json): RegionNode => ({
	name: text(j.name), hostname: text(j.hostname), ipv4: text(j.ipv4), ipv6: text(j.ipv6), derpPort: port(j.derpPort, 443),
	stunPort: port(j.stunPort, 3478), certName: text(j.certName), canPort80: j.canPort80 === true, mesh: j.mesh === true,
})

export const regionOf = (j: Json): Region => ({
	id: text(j.id), code: text(j.code), name: text(j.name), source: text(j.source), created: time(j.created),
	nodes: (Array.isArray(j.nodes) ? (j.nodes as Json[]) : []).map(nodeOf),
})

export const relayOf = (j: Json): Relay => ({
	id: text(j.name), region: text(j.region), connected: j.connected === true, reachable: j.reachable === true,
	announced: j.announced === true, trouble: text(j.trouble), address: text(j.address), node: j.node ? nodeOf(j.node as Json) : null,
	version: text(j.version), created: time(j.created), lastSeen: time(j.lastSeen),
})

// --- words -----------------------------------------------------------------------------------------

// "derp.example.org:8443", "[fd7a::1]:8443".
export function hostText(n: RegionNode): string {
	if (n.derpPort === 443) return n.hostname
	return `${n.hostname.includes(':') && !n.hostname.startsWith('[') ? `[${n.hostname}]` : n.hostname}:${n.derpPort}`
}

// What is not usual with it: "no STUN, pinned certificate".
export function unusual(n: RegionNode): string {
	const is = (s: string) => s !== '' && s !== 'none'
	return [
		is(n.ipv4) && n.ipv4, is(n.ipv6) && n.ipv6, n.ipv4 === 'none' && 'not by IPv4',
		n.stunPort < 0 ? 'no STUN' : n.stunPort !== 3478 && `STUN ${n.stunPort}`,
		n.certName.startsWith('sha256-raw:') ? 'pinned certificate' : n.certName && `certificate of ${n.certName}`,
		n.mesh && 'linked with the others',
	].filter(Boolean).join(', ')
}

export interface RelayState extends Status {
	text: string // what that means, and what to do
}

const sentence = (s: string) => (s && !/[.!?]$/.test(s) ? `${s}.` : s)

// What an administrator wants to know first.
export function relayState(r: Relay): RelayState {
	if (!r.connected && !r.node)
		return { word: 'Has not come yet', shape: 'ring', tone: 'off', text: 'Run the line on its machine that was shown when it was added. If it is lost, remove the relay and add it again.' }
	if (!r.connected) {
		return r.announced
			? { word: 'Away', shape: 'triangle', tone: 'warn', text: 'It does not sign in here. Clients still know it: it may be serving them.' }
			: { word: 'Away', shape: 'cross', tone: 'bad', text: 'It does not sign in here, and clients are not told of it any more.' }
	}
	if (r.reachable) return { word: 'Reachable', shape: 'dot', tone: 'ok', text: r.announced ? '' : 'Clients are told of it in a moment.' }
	if (!r.trouble) return { word: 'Being probed', shape: 'half', tone: 'off', text: 'It is here; the server looks whether it can be reached.' }
	const why = sentence(r.trouble)
	return r.announced
		? { word: 'Cannot be reached', shape: 'triangle', tone: 'warn', text: `${why} Clients still know it.` }
		: { word: 'Cannot be reached', shape: 'cross', tone: 'bad', text: `${why} Clients are not told of it. It is tried again every 15 seconds.` }
}

// Where a region is from, and who can change it.
export const sourceText = (r: Region) =>
	({ own: 'This server, by its configuration (derp.*)', config: 'A file of derp.paths, read at the start' })[r.source] ?? 'Added here'

export const regionOrder = (a: Region, b: Region) => Number(b.source === 'own') - Number(a.source === 'own') || Number(a.id) - Number(b.id)

// Machines that are at home in a region.
export function atHome(machines: Iterable<Machine>, id: string): { all: number; online: number } {
	let all = 0
	let online = 0
	for (const m of machines) {
		if (String(m.homeDerp) !== id) continue
		all++
		if (m.online) online++
	}
	return { all, online }
}

// What becomes of those that are at home where the last relay goes.
export const homeLoss = (n: number) =>
	n ? `${plural(n, 'machine')} ${n === 1 ? 'has its' : 'have their'} home there and ${n === 1 ? 'looks' : 'look'} for another region: what is relayed stops for moments.` : 'No machine has its home there.'

// --- what may be typed ------------------------------------------------------------------------------

const word = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/
function wordComplaint(s: string, what: string, most: number): string {
	if (!s) return `Type a ${what}.`
	if (s.length > most) return `The ${what} has ${s.length} characters, at most ${most} are possible.`
	return word.test(s) ? '' : `A ${what} has the letters a to z, digits and hyphens, and begins and ends with a letter or digit.`
}
export const codeComplaint = (s: string) => wordComplaint(s, 'code', 16)
export const relayNameComplaint = (s: string) => wordComplaint(s, 'name', 39)
export const regionNameComplaint = (s: string) =>
	new TextEncoder().encode(s).length > 63 ? 'At most 63 bytes are possible.' : ''
export const regionIdComplaint = (s: string) =>
	!s || (/^[0-9]{1,5}$/.test(s) && Number(s) >= 1 && Number(s) <= 65535) ? '' : 'A number from 1 to 65535.'

// A node as it is typed.
export interface NodeDraft {
	host: string // HOST or HOST:PORT
	stun: string
	ipv4: string
	ipv6: string
	pin: string
	canPort80: boolean
	mesh: boolean
}
export const emptyNode: NodeDraft = { host: '', stun: '', ipv4: '', ipv6: '', pin: '', canPort80: false, mesh: false }

// "host", "host:8443", "[::1]:8443"; an IPv6 address alone has several colons.
export function hostPort(s: string): { hostname: string; derpPort?: number } | null {
	const parts = /^\[([^\]]+)\](?::([0-9]+))?$/.exec(s) ?? /^([^:]+):([0-9]+)$/.exec(s)
	if (!parts) return /^[^:\s]+$/.test(s) || /^[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*$/i.test(s) ? { hostname: s.toLowerCase() } : null
	const hostname = parts[1]!.toLowerCase()
	if (parts[2] === undefined) return { hostname }
	const derpPort = Number(parts[2])
	return derpPort >= 1 && derpPort <= 65535 ? { hostname, derpPort } : null
}

const ip4 = /^[0-9]{1,3}(\.[0-9]{1,3}){3}$/
const ip6 = /^[0-9a-f:]*:[0-9a-f:.]*$/i
const dnsName = /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i
const pin = /^sha256-raw:[0-9a-f]{64}$/

// What is wrong with each field.
export function nodeComplaints(d: NodeDraft): Partial<Record<keyof NodeDraft, string>> {
	const bad: Partial<Record<keyof NodeDraft, string>> = {}
	const host = hostPort(d.host.trim())
	if (!d.host.trim()) bad.host = 'Type a host name or an address.'
	else if (!host || (!host.hostname.includes(':') && !dnsName.test(host.hostname)))
		bad.host = `"${d.host.trim()}" is no host. Write derp.example.org, or derp.example.org:8443 for another port.`
	const stun = d.stun.trim()
	if (stun && stun !== 'off' && !(/^[0-9]{1,5}$/.test(stun) && Number(stun) >= 1 && Number(stun) <= 65535)) bad.stun = 'A port from 1 to 65535, or off.'
	if (d.ipv4.trim() && d.ipv4.trim() !== 'none' && !ip4.test(d.ipv4.trim())) bad.ipv4 = 'An IPv4 address such as 192.0.2.7, or none.'
	if (d.ipv6.trim() && d.ipv6.trim() !== 'none' && !ip6.test(d.ipv6.trim())) bad.ipv6 = 'An IPv6 address such as 2001:db8::7, or none.'
	if (d.pin.trim() && !pin.test(d.pin.trim()) && !dnsName.test(d.pin.trim())) bad.pin = 'Write sha256-raw: and 64 hex digits, or a host name.'
	return bad
}

// For the server; only what is not usual.
export function nodeJson(d: NodeDraft): Json {
	const host = hostPort(d.host.trim())!
	const stun = d.stun.trim()
	return {
		...host, ...(stun ? { stunPort: stun === 'off' ? -1 : Number(stun) } : {}), ...(d.ipv4.trim() ? { ipv4: d.ipv4.trim() } : {}),
		...(d.ipv6.trim() ? { ipv6: d.ipv6.trim() } : {}), ...(d.pin.trim() ? { certName: d.pin.trim() } : {}),
		...(d.canPort80 ? { canPort80: true } : {}), ...(d.mesh ? { mesh: true } : {}),
	}
}
