// A machine for tests, with what matters to the test.
import type { Machine } from '../src/lib/model'

export const NOW = Date.UTC(2026, 10, 23, 12)

export const machine = (more: Partial<Machine>): Machine => ({
	id: '1', name: 'edge-1', fqdn: 'edge-1.tailnet.example', hostname: 'Edge 1', user: 'ann@example.org', tags: [], addresses: ['100.64.0.1', 'fd7a:115c:a1e0::1'],
	endpoints: [], os: 'linux', version: '1.96.2-t0123', homeDerp: 900, online: true, authorized: true, ephemeral: false, created: NOW, lastSeen: NOW,
	keyExpires: null, expired: false, keyId: '', nodeKey: '', machineKey: '', routes: [], answersProbes: true,
	...more,
})
