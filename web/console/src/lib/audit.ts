// Audit records as sentences. Pure.
import { date, rate } from './format'

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
	ip: ['changed its address', 'changed the address of'], use: ['used it', 'used'], reject: ['rejected it', 'rejected'],
	deauthorize: ['took its approval back', 'took back the approval of'], change: ['changed them', 'changed the'],
	routes: ['changed its approved routes', 'changed the approved routes of'],
	unset: ['took it away', 'took away'],
	expiring: ['has a key that expires soon', 'has a key that expires soon'],
}
// What machines do themselves; who let them is the means.
const own = ['register', 'reregister', 'logout', 'expiring']

// Relays on other machines, as the server finds them.
const relayVerbs: Record<string, string> = {
	announce: 'tells machines of', change: 'found another address or version of', withdraw: 'does not tell machines any more of',
}

// Members that say something to people, and how they are called.
const members: Record<string, string> = {
	name: 'name', tags: 'tags', keyExpiry: 'key expiry', ip4: 'address', role: 'role', displayName: 'full name', description: 'description',
	devices_need_approval: 'device approval', key_days: 'days of keys', refuse_cluster_overlap: 'refusal of overlaps', disable_cgnat_drop_rule: 'other 100.64.0.0/10',
	code: 'code', ranges: 'ranges', lan: 'networks', approvedRoutes: 'routes', bytesPerSecond: 'rate',
}

const shown = (v: unknown, name: string): string => {
	if (['devices_need_approval', 'refuse_cluster_overlap', 'disable_cgnat_drop_rule'].includes(name)) return v ? 'on' : 'off'
	if (name === 'key_days') return v === 0 ? 'never' : v === -1 ? 'as configured' : String(v)
	if (name === 'bytesPerSecond') return v ? rate(Number(v)) : 'no limit'
	if (Array.isArray(v)) return v.length ? v.join(' ') : 'none'
	const text = v === null || v === undefined ? '' : String(v)
	if (/^0001-/.test(text)) return 'never'
	if (/^\d{4}-\d\d-\d\dT/.test(text)) return date(Date.parse(text))
	return text || 'none'
}

// "quota node 7" -> "the quota of edge-1".
function quotaName(object: string, nameNow: (object: string) => string | undefined): string {
	const subject = object.slice('quota '.length)
	return subject === 'default' ? 'the default quota' : `the quota of ${nameNow(subject) ?? subject}`
}

// The name of the object, as the record has it, else as it is called now, else "node 7".
export function objectName(c: Change, nameNow: (object: string) => string | undefined = () => undefined): string {
	if (c.object.startsWith('quota ')) return quotaName(c.object, nameNow)
	const name = c.after?.name ?? c.before?.name ?? nameNow(c.object) ?? c.after?.description ?? c.before?.hostname
	return typeof name === 'string' && name ? name : c.object
}

export interface Sentence {
	who: string
	text: string // what follows
}

// SSH logins that a policy's check rule held: "ann let pad log in at db as root".
function sshSentence(c: Change, actor: string): Sentence {
	const member = (name: string) => (c.after?.[name] ?? {}) as Record<string, unknown>
	const name = (node: Record<string, unknown>) => shown(node.name || `node ${node.id}`, 'name')
	const what = `log in at ${name(member('destination'))} as ${shown(c.after?.localUser, 'localUser')}`
	if (c.what === 'ssh.use') return { who: name(member('source')), text: `${what.replace('log', 'logged')} by SSH, let in before by ${shown(c.after?.approvedBy, 'approvedBy')}` }
	return { who: actor, text: `${c.what === 'ssh.approve' ? 'let' : 'did not let'} ${name(member('source'))} ${what} by SSH` }
}

// What nobody does, but is found: "Clusters a and b both claim 10.42.7.0/24".
function conflictSentence(c: Change): Sentence {
	const list = (name: string) => ((c.after ?? c.before)?.[name] ?? []) as unknown[]
	const names = [...new Set(list('clusters').map(String))]
	const claim = c.after ? 'claim' : 'no longer claim'
	return names.length > 1
		? { who: `Clusters ${names.join(' and ')}`, text: `${claim} the same: ${list('prefixes').join(' ')}` }
		: { who: `Machines of cluster ${names[0] ?? ''}`, text: `${claim} the same: ${list('prefixes').join(' ')}` }
}

// "ann set version 3 of the policy".
const policyVerbs: Record<string, string> = {
	set: 'set version V of the policy', rollback: 'went back to an older policy, as version V', confirm: 'confirmed version V of the policy',
	file: 'set version V of the policy', reset: 'took the policy away, as version V',
}
function policySentence(c: Change, actor: string): Sentence {
	const version = shown(c.after?.version, 'version')
	if (c.what === 'policy.revert') return { who: 'The server', text: `took back version ${shown(c.before?.version, 'version')} of the policy, which nobody confirmed: now version ${version}` }
	const verb = policyVerbs[c.what.slice('policy.'.length)]
	return { who: actor || 'The server', text: verb ? verb.replace('V', version) : `${c.what} (version ${version})` }
}

// "ann renamed edge-1"; where the object is clear, "ann renamed it". Words that are not known stay as they are.
export function sentence(c: Change, actor: string, isClear: boolean, nameNow?: (object: string) => string | undefined): Sentence {
	if (c.what === 'session.open') return { who: actor, text: 'signed in' }
	if (c.what.startsWith('policy.')) return policySentence(c, actor)
	if (c.what.startsWith('ssh.')) return sshSentence(c, actor)
	if (c.what.startsWith('cluster.conflict')) return conflictSentence(c)
	const verb = c.what.slice(c.what.indexOf('.') + 1)
	if (c.what.startsWith('relay.') && relayVerbs[verb]) return { who: 'The server', text: `${relayVerbs[verb]} ${isClear ? 'it' : c.object}` }
	const [alone, before] = verbs[verb] ?? [c.what, c.what]
	if (own.includes(verb)) {
		// A key, a person, or (a sign-out, what time brings) nobody but the machine.
		const by = /^key /.test(actor) ? ` with ${actor}` : /register$/.test(verb) && actor ? `, let in by ${actor}` : ''
		return { who: isClear ? 'It' : objectName(c, nameNow), text: alone + by }
	}
	return { who: actor || 'The server', text: isClear ? alone : `${before} ${c.what.startsWith('region.') ? 'region ' : ''}${objectName(c, nameNow)}` }
}

// Members that changed: "name edge → edge-1".
export function differences(c: Change): string[] {
	if (!c.before || !c.after) return []
	const out: string[] = []
	for (const [name, word] of Object.entries(members)) {
		if (!(name in c.before) && !(name in c.after)) continue
		const from = shown(c.before[name], name)
		const to = shown(c.after[name], name)
		if (from !== to) out.push(`${word} ${from} → ${to}`)
	}
	return out
}
