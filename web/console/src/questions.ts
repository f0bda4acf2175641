// What a page asks for once, when it shows it.
import { API, get } from './api'
import type { PolicyStatus } from './lib/policy'

type Json = Record<string, unknown>

export interface User {
	name: string
	displayName: string
	role: string
}
export const fetchUsers = async () => (await get<{ users: User[] }>(`${API}/users`)).users

export interface AuditRecord {
	id: string
	at: string
	actor: string
	what: string
	object: string
	before: Json | null
	after: Json | null
}
export const fetchAudit = async (limit: number, object = '') =>
	(await get<{ records: AuditRecord[] }>(`${API}/audit?limit=${limit}${object ? `&object=${encodeURIComponent(object)}` : ''}`)).records

export interface ServerStatus {
	version: string
	serverUrl: string
	baseDomain: string
	dataDir: string
	certificate?: { source: string; expires?: string | null }
	uptimeSeconds: number
	users: number
	nodes: number
	nodesOnline: number
	keys: number
	keysActive: number
	metrics: Record<string, number>
	clusterConflicts?: { text: string }[]
	policy?: PolicyStatus
}
export const fetchStatus = () => get<ServerStatus>(`${API}/status`)
