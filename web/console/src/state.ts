// What the page knows, as signals, and the changes it can ask the server for.
import { computed, signal } from '@preact/signals'
import { API, API_V2, ApiError, get, messageOf, onSignedOut, request } from './api'
import { plural } from './lib/format'
import { clustersOf, madeOf, type Clusters, type MadeCluster, type NewCluster } from './lib/clusters'
import { quotaOf, quotasOf, type Quota } from './lib/quotas'
import { keyOf, loginOf, machineOf, settingsOf, sshOf, time } from './lib/merge'
import type { Key, Login, Machine, Settings, SSHCheck } from './lib/model'
import { isAmiss, noticeOf, type PolicyNotice, type PolicyStatus } from './lib/policy'
import { regionOf, relayOf, type NodeDraft, nodeJson, type Region, type Relay } from './lib/relays'
import type { ServerEvent } from './lib/sse'
import { path } from './router'
import { live, retryLive, startLive, stopLive, tellSignedIn } from './live'
import { LiveList } from './live-list'
import { problem, toast } from './notices'
import { fetchStatus, type ServerStatus } from './questions'

type Json = Record<string, unknown>

// --- session ---------------------------------------------------------------------------------------

export interface Session {
	name: string
	role: string
	userId: string | null
	serverUrl: string
	version: string
	isTls: boolean
}

// undefined: not asked yet; null: signed out.
export const session = signal<Session | null | undefined>(undefined)
// The session ended while the page was in use: a dialog asks for another one.
export const sessionEnded = signal(false)
export const newerServer = signal(false)
export const startError = signal('')

let clockOffset = 0
export const clockIsWrong = signal(false)
export const now = signal(Date.now())
export const serverNow = () => Date.now() + clockOffset
const tick = () => { now.value = serverNow() }
setInterval(tick, 30_000)

function sayTime(text: unknown) {
	const t = time(text)
	if (t === null) return
	// The server says whole seconds.
	const offset = t + 500 - Date.now()
	clockOffset = Math.abs(offset) < 2000 ? 0 : offset
	clockIsWrong.value = Math.abs(offset) > 60_000
	tick()
}

function takeSession(j: Json) {
	const text = (v: unknown) => (typeof v === 'string' ? v : '')
	sayTime(j.now)
	session.value = {
		name: text(j.name), role: text(j.role), userId: typeof j.userId === 'string' ? j.userId : null,
		serverUrl: text(j.serverUrl), version: text(j.version), isTls: j.isTls === true,
	}
	sessionEnded.value = false
	startError.value = ''
	onSignedOut.call = () => { sessionEnded.value = true }
	startLive({ event: onServerEvent, unauthorized: checkSession, signedInElsewhere: checkSession })
}

async function checkSession() {
	try {
		takeSession(await get<Json>(`${API}/session`))
		retryLive()
		refetch()
	} catch {
		// A 401 has opened the dialog already; anything else is tried again with the stream.
	}
}

export async function resume() {
	try {
		takeSession(await get<Json>(`${API}/session`))
	} catch (e) {
		if (e instanceof ApiError && e.status === 401) session.value = null
		else startError.value = messageOf(e)
	}
}

// From the token of a one-time link to a session.
export async function signIn(token: string) {
	onSignedOut.call = () => {}
	const again = sessionEnded.value
	try {
		takeSession(await request<Json>('POST', `${API}/session`, { token }))
		tellSignedIn()
		if (again) refetch()
	} finally {
		if (again) onSignedOut.call = () => { sessionEnded.value = true }
	}
}

export async function signOut() {
	onSignedOut.call = () => {}
	try {
		await request('DELETE', `${API}/session`)
	} catch (e) {
		if (!(e instanceof ApiError && e.status === 401)) throw e
	}
	stopLive()
	for (const list of everyList) list.clear()
	settings.value = null
	settingsAsked = false
	clusters.value = null
	clustersWanted = false
	quotas.value = null
	quotasWanted = false
	status.value = null
	policy.value = null
	policySeen = ''
	session.value = null
}

// What a role may, as the server decides it; '' or why not.
export type Right = 'change' | 'make-keys' | 'routes' | 'policy' | 'relays'
const networkRights: Right[] = ['make-keys', 'routes', 'policy', 'relays']
const rights: Record<string, Right[]> = { owner: ['change', ...networkRights], admin: ['change', ...networkRights], 'network-admin': networkRights }
export const roleName = (role: string) => role.replace('-', ' ')

export const whyNot = (right: Right) => {
	if (!rights[session.value?.role ?? '']?.includes(right)) return right === 'change' ? 'Needs admin' : 'Needs network admin'
	if (live.value.kind === 'down') return 'Not connected'
	return ''
}

// --- lists -----------------------------------------------------------------------------------------

export const machines = new LiveList<Machine>('machines', `${API}/nodes`, 'nodes', machineOf)
export const keys = new LiveList<Key>('keys', `${API}/keys`, 'keys', keyOf)
// Devices that ask to join without a key.
export const logins = new LiveList<Login>('devices that wait', `${API}/logins`, 'logins', loginOf)

// SSH logins that wait for approval.
export const sshChecks = new LiveList<SSHCheck>('SSH logins that wait', `${API}/ssh-checks`, 'sshChecks', sshOf)

// Regions of the DERP map, and relays on other machines, whose id is their name.
export const regions = new LiveList<Region>('regions', `${API}/regions`, 'regions', regionOf)
export const relays = new LiveList<Relay>('relays', `${API}/relays`, 'relays', relayOf)

const everyList: { clear(): void; refetch(): void; error: { value: string } }[] = [machines, keys, logins, sshChecks, regions, relays]

// Machines that joined since the page was opened, newest last: the key dialog shows the first one.
export const joined = signal<string[]>([])

export const pendingCount = computed(() => {
	machines.version.value
	let n = 0
	for (const m of machines.data.items.values()) if (!m.authorized) n++
	return n
})

// Machines with routes that nobody approved.
export const routesCount = computed(() => {
	machines.version.value
	let n = 0
	for (const m of machines.data.items.values()) if (m.authorized && m.routes.some(r => r.advertised && !r.approved)) n++
	return n
})

export const loginCount = computed(() => {
	logins.version.value
	return logins.data.items.size
})

export const sshCount = computed(() => {
	sshChecks.version.value
	return sshChecks.data.items.size
})

// null: not known yet.
export const settings = signal<Settings | null>(null)
export const settingsBy = signal('') // who changed them last, while the page was open
export const settingsError = signal('')
let settingsAsked = false
let settingsTold = 0 // by events: what an answer says may be older

export async function fetchSettings() {
	const told = settingsTold
	try {
		const answer = settingsOf(await get<Json>(`${API}/settings`))
		if (told === settingsTold) settings.value = answer
		settingsError.value = ''
	} catch (e) {
		settingsError.value = messageOf(e)
	}
}

export function wantSettings() {
	if (settingsAsked) return
	settingsAsked = true
	void fetchSettings()
}

export async function saveSettings(change: Partial<Omit<Settings, 'keyDaysConfigured'>>) {
	settings.value = settingsOf(await request<Json>('PATCH', `${API}/settings`, change))
}

// null: not known yet. What they are changes with their machines: the whole is asked for anew, at most once a second.
export const clusters = signal<Clusters | null>(null)
export const clustersError = signal('')
let clustersWanted = false
let clustersTimer: ReturnType<typeof setTimeout> | undefined

export async function fetchClusters() {
	clearTimeout(clustersTimer)
	clustersTimer = undefined
	try {
		clusters.value = clustersOf(await get<Json>(`${API}/clusters`))
		clustersError.value = ''
	} catch (e) {
		clustersError.value = messageOf(e)
	}
}

const clustersChanged = () => {
	if (clustersWanted) clustersTimer ??= setTimeout(() => void fetchClusters(), 1000)
}

// While the page is open; returns what ends that.
export function watchClusters() {
	clustersWanted = true
	void fetchClusters()
	return () => { clustersWanted = false }
}

// null: not known yet.
export const quotas = signal<Quota[] | null>(null)
export const quotasError = signal('')
let quotasWanted = false

export async function fetchQuotas() {
	try {
		quotas.value = quotasOf(await get<Json>(`${API}/quotas`))
		quotasError.value = ''
	} catch (e) {
		quotasError.value = messageOf(e)
	}
}

// While the page is open; returns what ends that.
export function watchQuotas() {
	quotasWanted = true
	void fetchQuotas()
	return () => { quotasWanted = false }
}

const quotaPath = (subject: string) => `${API}/quotas/${encodeURIComponent(subject)}`
export async function setQuota(subject: string, rate: string): Promise<Quota> {
	const q = quotaOf(await request<Json>('PUT', quotaPath(subject), { rate }))
	await fetchQuotas()
	return q
}
export async function unsetQuota(subject: string) {
	await request('DELETE', quotaPath(subject))
	await fetchQuotas()
}

const cluster = (name: string) => `${API}/clusters/${encodeURIComponent(name)}`

// The one answer that has the secret, as that of a new key.
export async function createCluster(spec: NewCluster): Promise<MadeCluster> {
	const made = madeOf(await request<Json>('POST', `${API}/clusters`, spec))
	void fetchClusters()
	return made
}
export const clusterLines = async (name: string) => madeOf(await get<Json>(cluster(name)))
export const clusterKey = async (name: string) => madeOf(await request<Json>('POST', `${cluster(name)}/key`, {}))
export async function deleteCluster(name: string, force: boolean) {
	await request('DELETE', `${cluster(name)}${force ? '?force=true' : ''}`)
	await fetchClusters()
}

/*
 * The state of the server, asked for while somebody looks: changes of the policy and of its file come by no event.
 * Only Overview goes on asking when nobody touches it: asking keeps the session alive.
 */
const STATUS_MS = 10_000
const UNUSED_MS = 10 * 60_000
export const status = signal<ServerStatus | null>(null)
export const statusError = signal('')
export const policy = signal<PolicyNotice | null>(null) // null: nothing is amiss
let policySeen = '' // of the status, when policy was made
let statusAt = 0
let statusAsked = 0 // an answer to an earlier question may come later
let deadline: ReturnType<typeof setTimeout> | undefined

async function loadPolicy(now: PolicyStatus | undefined, asked: number) {
	const seen = JSON.stringify(now)
	if (seen === policySeen) return
	const was = policy.value
	let next: PolicyNotice | null = null
	if (isAmiss(now)) {
		const [inForce, list] = await Promise.all([get<Json>(`${API}/policy`), get<{ versions: Json[] }>(`${API}/policy/versions?limit=100`)])
		if (asked !== statusAsked) return
		next = noticeOf(inForce, list.versions)
		clearTimeout(deadline)
		// A second late: it is taken back by then.
		if (next.confirmBy !== null) deadline = setTimeout(() => void loadStatus(), Math.max(1000, next.confirmBy - serverNow() + 1000))
	}
	policySeen = seen
	policy.value = next
	if (was?.confirmBy && now && now.version > was.inForce.version && serverNow() >= was.confirmBy)
		toast(`Version ${was.inForce.version} of the policy was not confirmed in time: the one before is in force again.`)
}

export async function loadStatus() {
	statusAt = Date.now()
	const asked = ++statusAsked
	try {
		const answer = await fetchStatus()
		if (asked !== statusAsked) return
		status.value = answer
		await loadPolicy(answer.policy, asked)
		statusError.value = ''
	} catch (e) {
		statusError.value = messageOf(e)
	}
}

// While the frame is there; returns what ends that.
export function watchStatus() {
	let lastUse = Date.now()
	const look = () => {
		const isUsed = path.value === '/' || Date.now() - lastUse < UNUSED_MS
		if (session.value && !sessionEnded.value && !document.hidden && isUsed && Date.now() - statusAt >= STATUS_MS) void loadStatus()
	}
	const use = () => {
		lastUse = Date.now()
		look()
	}
	const timer = setInterval(look, STATUS_MS / 2)
	const uses = ['pointermove', 'pointerdown', 'keydown', 'visibilitychange']
	for (const name of uses) document.addEventListener(name, use, { passive: true })
	void loadStatus()
	return () => {
		clearInterval(timer)
		for (const name of uses) document.removeEventListener(name, use)
	}
}

export async function confirmPolicy(version: number) {
	await request('POST', `${API}/policy/confirm`, { version }).finally(() => void loadStatus())
}

// Puts the text of a version in force again, unless another one is in force by now than was seen.
export async function rollbackPolicy(version: number, ifVersion: number) {
	await request('POST', `${API}/policy/rollback`, { version, ifVersion })
	await loadStatus()
}

export function refetch() {
	if (status.value) void loadStatus()
	if (clustersWanted) void fetchClusters()
	if (quotasWanted) void fetchQuotas()
	for (const list of everyList) list.refetch()
	if (settingsAsked) void fetchSettings()
}

// A machine that joined waits no longer. The end of its login follows, but does not say who decided.
function endLogins(machineKey: string, by: string) {
	for (const l of logins.data.items.values())
		if (l.machineKey === machineKey) logins.take(l.id, null, /^key /.test(by) ? `Joined with ${by}` : `Approved by ${by}`)
}

// Deleted by this page: the event that follows says nothing new.
const ownDeletions = new Set<string>()

function onServerEvent(event: ServerEvent) {
	let j: Json
	try {
		j = JSON.parse(event.data) as Json
	} catch {
		return
	}
	const id = String(j.id ?? '')
	const by = typeof j.by === 'string' ? j.by : ''
	switch (event.type) {
	case 'node':
		if (j.what === 'node.register' && j.node && !machines.data.items.has(id)) joined.value = [...joined.value.slice(-99), id]
		clustersChanged()
		if ((j.what === 'node.register' || j.what === 'node.reregister') && j.node) endLogins(String((j.node as Json).machineKey), by)
		if (!j.node && ownDeletions.delete(`node ${id}`)) machines.forget(id)
		else machines.take(id, (j.node as Json | null) ?? null, by)
		break
	case 'key':
		if (!j.key && ownDeletions.delete(`key ${id}`)) keys.forget(id)
		else keys.take(id, (j.key as Json | null) ?? null, by)
		break
	case 'login':
		if (j.what === 'login.new') logins.take(id, (j.login as Json | null) ?? null, '')
		else logins.take(id, null, j.what === 'login.reject' && by ? `Rejected by ${by}` : '')
		break
	case 'ssh':
		if (j.what === 'ssh.new') sshChecks.take(id, (j.ssh as Json | null) ?? null, '')
		else sshChecks.take(id, null, j.what === 'ssh.end' || !by ? '' : `${j.what === 'ssh.reject' ? 'Rejected' : 'Approved'} by ${by}`)
		break
	case 'region':
		if (!j.region && ownDeletions.delete(`region ${id}`)) regions.forget(id)
		else regions.take(id, (j.region as Json | null) ?? null, by)
		break
	case 'relay':
		if (!j.relay && ownDeletions.delete(`relay ${id}`)) relays.forget(id)
		else relays.take(id, (j.relay as Json | null) ?? null, by)
		break
	case 'settings':
		if (!j.settings) break
		settingsTold++
		settingsBy.value = by
		settings.value = settingsOf(j.settings as Json)
		break
	case 'cluster':
		if (clustersWanted) void fetchClusters()
		break
	case 'quota':
		if (quotasWanted) void fetchQuotas()
		break
	case 'reset':
		refetch()
		break
	case 'hello':
		sayTime(j.now)
		if (status.value || statusError.value) void loadStatus()
		for (const list of everyList) if (list.error.value) list.refetch()
		if (settingsError.value) void fetchSettings()
		if (clustersWanted && clustersError.value) void fetchClusters()
		if (quotasWanted && quotasError.value) void fetchQuotas()
		if (session.value && typeof j.version === 'string' && j.version !== session.value.version) newerServer.value = true
		break
	}
}

// --- changes ---------------------------------------------------------------------------------------

const node = (id: string) => `${API}/nodes/${encodeURIComponent(id)}`
const key = (id: string) => `${API}/keys/${encodeURIComponent(id)}`

export async function renameMachine(id: string, name: string) {
	machines.put(await request<Json>('PATCH', node(id), { name }))
}

export async function tagMachine(id: string, tags: string[], options?: RequestInit) {
	machines.put(await request<Json>('PATCH', node(id), { tags }, options))
}

export async function expireMachine(id: string) {
	machines.put(await request<Json>('POST', `${node(id)}/expire`, {}))
}

export async function approveMachine(id: string) {
	await request('POST', `${API_V2}/device/${encodeURIComponent(id)}/authorized`, { authorized: true })
	machines.put(await get<Json>(node(id)))
}

// Approves routes of a machine, or takes that back.
export async function setRoutes(id: string, change: { approve?: string[]; unapprove?: string[] }, options?: RequestInit) {
	machines.put(await request<Json>('POST', `${node(id)}/routes`, change, options))
}

async function deleted(path: string, name: string, forget: () => void) {
	ownDeletions.add(name)
	try {
		await request('DELETE', path)
	} catch (e) {
		ownDeletions.delete(name)
		throw e
	}
	// The event may come before or after; a minute is more than it ever needs.
	setTimeout(() => ownDeletions.delete(name), 60_000)
	forget()
}

export const deleteMachine = (id: string) => deleted(node(id), `node ${id}`, () => machines.forget(id))
export const deleteKey = (id: string) => deleted(key(id), `key ${id}`, () => keys.forget(id))

export async function revokeKey(id: string) {
	keys.put(await request<Json>('POST', `${key(id)}/revoke`, {}))
}

const login = (id: string) => `${API}/logins/${encodeURIComponent(id)}`

export interface Approval {
	user?: string
	tags?: string[] // instead of those asked for
	approved?: boolean // false: where machines need approval, it still waits for that
}

// Returns the machine that the device is now.
export async function approveLogin(id: string, how: Approval): Promise<Machine> {
	const answer = await request<Json>('POST', `${login(id)}/approve`, how)
	logins.forget(id)
	machines.own.add(String(answer.id))
	machines.put(answer)
	return machineOf(answer)
}

export async function rejectLogin(id: string) {
	await request('POST', `${login(id)}/reject`, {})
	logins.forget(id)
}

export async function decideSSH(id: string, action: 'approve' | 'reject') {
	await request('POST', `${API}/ssh-checks/${encodeURIComponent(id)}/${action}`, {})
	sshChecks.forget(id)
}

const region = (id: string) => `${API}/regions/${encodeURIComponent(id)}`

export interface NewRegion {
	code: string
	name?: string
	id?: number
	nodes: NodeDraft[]
}
export async function createRegion({ nodes, ...spec }: NewRegion): Promise<Region> {
	const answer = await request<Json>('POST', `${API}/regions`, { ...spec, nodes: nodes.map(nodeJson) })
	regions.put(answer)
	return regionOf(answer)
}

export async function changeRegion(id: string, change: { code?: string; name?: string }) {
	regions.put(await request<Json>('PATCH', region(id), change))
}

// The server takes all nodes of a region: those that it has now, with the change.
async function changeNodes(id: string, change: (nodes: Json[]) => Json[]) {
	const before = await get<Json>(region(id))
	regions.put(await request<Json>('PATCH', region(id), { nodes: change((before.nodes ?? []) as Json[]) }))
}
export const addNode = (id: string, draft: NodeDraft) => changeNodes(id, nodes => [...nodes, nodeJson(draft)])
export const removeNode = (id: string, name: string) => changeNodes(id, nodes => nodes.filter(n => n.name !== name))

export const deleteRegion = (id: string) => deleted(region(id), `region ${id}`, () => regions.forget(id))

// The one answer that has the key, in the line that starts the relay.
export async function createRelay(name: string, regionId: string): Promise<{ relay: Relay; line: string }> {
	const answer = await request<Json>('POST', `${API}/relays`, { name, region: regionId })
	relays.put(answer)
	return { relay: relayOf(answer), line: String(answer.line) }
}

export const deleteRelay = (name: string) =>
	deleted(`${API}/relays/${encodeURIComponent(name)}`, `relay ${name}`, () => relays.forget(name))

export interface NewKey {
	user?: string
	description: string
	tags: string[]
	reusable: boolean
	ephemeral: boolean
	preauthorized: boolean
	expirySeconds: number
}

// The one answer that has the secret.
export async function createKey(spec: NewKey): Promise<{ key: Key; secret: string }> {
	const answer = await request<Json>('POST', `${API}/keys`, spec)
	keys.put(answer)
	return { key: keyOf(answer), secret: String(answer.key) }
}

// --- bulk ------------------------------------------------------------------------------------------

// One change for many, four at a time; says what became of it. Returns the ids that failed.
export async function forAll(ids: string[], done: string, fn: (id: string) => Promise<void>): Promise<string[]> {
	const failed: { id: string; why: string }[] = []
	const queue = [...ids]
	const worker = async () => {
		for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
			try {
				await fn(id)
			} catch (e) {
				failed.push({ id, why: messageOf(e) })
			}
		}
	}
	await Promise.all([worker(), worker(), worker(), worker()])
	if (failed.length < ids.length) toast(`${plural(ids.length - failed.length, 'machine')} ${done}.`)
	for (const f of failed.slice(0, 5)) problem(`${machines.data.find(f.id)?.name ?? f.id}: not ${done}. ${f.why}`)
	if (failed.length > 5) problem(`${plural(failed.length - 5, 'more machine')} not ${done}.`)
	return failed.map(f => f.id)
}
