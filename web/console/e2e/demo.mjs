// Invented machines and keys in the shape of the API, for tests of size and for pictures.

const cities = ['ber', 'ham', 'muc', 'fra', 'cgn', 'lej', 'dus', 'str', 'nue', 'bre']
const kinds = [
	{ name: 'edge', tags: ['tag:k3s', 'tag:edge'], os: 'linux' },
	{ name: 'cam', tags: ['tag:cam'], os: 'linux' },
	{ name: 'pos', tags: ['tag:pos', 'tag:edge'], os: 'linux' },
	{ name: 'laptop', tags: [], os: 'macOS' },
	{ name: 'desk', tags: [], os: 'windows' },
]
const versions = ['1.96.2', '1.96.2', '1.94.1', '1.90.0', '1.88.3']
const users = ['ann@example.org', 'ben@example.org', 'cara@example.org']
const DAY = 86_400_000

const iso = ms => new Date(ms).toISOString().replace(/\.\d+Z/, 'Z')

export function node(i, now) {
	const kind = kinds[i % 7 < 3 ? 0 : i % kinds.length]
	const city = cities[i % cities.length]
	const online = i % 5 !== 3
	const name = `${kind.name}-${city}-${Math.floor(i / cities.length)}`
	const tagged = kind.tags.length > 0
	const keyExpires = tagged ? null : iso(now + (i === 24 ? 3 * DAY : i === 13 ? -2 * DAY : (40 + (i % 140)) * DAY))
	const hex = i.toString(16).padStart(4, '0')
	return {
		id: String(i + 1), name, fqdn: `${name}.tailnet.example.`, hostname: name, user: users[i % users.length], userId: String(1 + i % 3),
		tags: kind.tags, addresses: [`100.64.${Math.floor(i / 250)}.${1 + i % 250}`, `fd7a:115c:a1e0::${hex}`],
		endpoints: online ? [`203.0.113.${1 + i % 250}:41641`, `192.168.${i % 200}.12:41641`] : [], os: kind.os,
		clientVersion: `${versions[i % versions.length]}-t0f5ad2e1c-g1d6c0a7b2`, capabilityVersion: 130, homeDerp: 900, online,
		lastSeen: iso(online ? now - 4000 : now - (i * 7_919_000) % (19 * DAY)), created: iso(now - (20 + i % 300) * DAY), keyExpires,
		expired: i === 13, ephemeral: false, authorized: i !== 11 && i !== 40 && i !== 47, keyId: 'kEdgeBerlin1',
		machineKey: `mkey:${hex.repeat(16)}`, nodeKey: `nodekey:${hex.repeat(16)}`,
	}
}

export const nodes = (n, now) => Array.from({ length: n }, (_, i) => node(i, now))

export function keys(now) {
	const key = (id, description, more) => ({
		id, description, user: users[0], userId: '1', tags: [], reusable: false, ephemeral: false, preauthorized: true, state: 'active',
		uses: 0, created: iso(now - 12 * DAY), expires: iso(now + 78 * DAY), revoked: null, lastUsed: null, ...more,
	})
	return [
		key('kCameras0001', 'cameras, warehouse', { tags: ['tag:cam'], state: 'used', uses: 1, lastUsed: iso(now - 9 * DAY) }),
		key('kOldPilot001', 'pilot 2025', { state: 'expired', created: iso(now - 300 * DAY), expires: iso(now - 210 * DAY), uses: 14, reusable: true, lastUsed: iso(now - 215 * DAY) }),
		key('kEdgeBerlin1', 'edge Berlin', { tags: ['tag:k3s', 'tag:edge'], reusable: true, uses: 1204, lastUsed: iso(now - 14 * 60_000) }),
		key('kCI000000001', 'CI runners', { tags: ['tag:ci'], reusable: true, ephemeral: true, uses: 38_212, lastUsed: iso(now - 40_000), expires: iso(now + 4 * DAY) }),
		key('kLost0000001', 'lost laptop', { state: 'revoked', revoked: iso(now - 2 * DAY) }),
		key('kPOS00000001', 'points of sale', { tags: ['tag:pos', 'tag:edge'], preauthorized: false, reusable: true }),
	]
}

// Devices that ask to join.
export function logins(now) {
	const login = (id, hostname, address, minutes, more) => ({
		id: id.padEnd(24, 'x'), url: '', hostname, os: 'linux', osVersion: '6.1', clientVersion: '1.96.2-t0f5ad2e1c', address, machineKey: `mkey:${id}`, machineKeyShort: '[kq3Zt]',
		ephemeral: false, tags: [], nodeId: null, created: iso(now - minutes * 60_000), expires: iso(now + (15 - minutes) * 60_000), ...more,
	})
	return [
		login('a', 'annas-notebook-with-a-long-name', '2001:db8:1234:5678:9abc:def0:1234:5678', 9, { os: 'macOS', osVersion: '15.6.1' }),
		login('b', 'edge-lej-9', '203.0.113.77', 3, { tags: ['tag:k3s', 'tag:edge'] }),
		login('c', 'pos-dus-3', '198.51.100.4', 0, { nodeId: '18', nodeName: 'pos-str-1', nodeUser: users[2] }),
	]
}

export const audit = now => [
	{ id: '9', at: iso(now - 140_000), actor: 'ann@example.org', source: '', what: 'node.tag', object: 'node 1', before: { name: 'edge-ber-0', tags: ['tag:k3s'] }, after: { name: 'edge-ber-0', tags: ['tag:k3s', 'tag:edge'] } },
	{ id: '8', at: iso(now - 860_000), actor: 'ann@example.org', source: '', what: 'node.rename', object: 'node 1', before: { name: 'raspberrypi' }, after: { name: 'edge-ber-0' } },
	{ id: '7', at: iso(now - 3_860_000), actor: 'key kEdgeBerlin1', source: '', what: 'node.register', object: 'node 1', before: null, after: { name: 'raspberrypi' } },
	{ id: '6', at: iso(now - 26 * 3_600_000), actor: 'ben@example.org', source: '', what: 'key.create', object: 'key kEdgeBerlin1', before: null, after: { description: 'edge Berlin' } },
]
