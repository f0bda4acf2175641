import { describe, expect, test } from 'vitest'
import { byAddress, byText, byVersion, shortVersion } from '../src/lib/compare'
import { deletion, mustType } from '../src/lib/danger'
import { differences, objectName, sentence } from '../src/lib/audit'
import { k3sLine, nameComplaint, normalTag, tagComplaint, tailscaleLine } from '../src/lib/joinline'
import { attention, keyDaysComplaint, keyDaysText, keyMeaning, keyStatus, keyUses, machineStatus, type Key } from '../src/lib/model'
import { machine, NOW } from './machine'

const DAY = 86_400_000
const key = (more: Partial<Key>): Key => ({
	id: 'k1', description: '', user: 'ann', tags: [], reusable: false, ephemeral: false, preauthorized: true, state: 'active', uses: 0, created: NOW,
	expires: NOW + DAY, revoked: null, lastUsed: null, ...more,
})

test('names, versions and addresses sort as people count', () => {
	expect(['edge-10', 'edge-2', 'Edge-1'].sort(byText)).toEqual(['Edge-1', 'edge-2', 'edge-10'])
	expect(['1.10.0', '1.9.3', '', '1.9'].sort(byVersion)).toEqual(['', '1.9', '1.9.3', '1.10.0'])
	expect(['100.64.0.10', '100.64.0.9', '', '100.63.255.255'].sort(byAddress)).toEqual(['100.63.255.255', '100.64.0.9', '100.64.0.10', ''])
	expect(shortVersion('1.96.2-t0f5ad-g1d6c')).toBe('1.96.2')
	expect(shortVersion('nightly')).toBe('nightly')
})

describe('danger', () => {
	const plain = machine({ id: '1', name: 'laptop' })
	const tagged = machine({ id: '2', name: 'edge-1', tags: ['tag:k3s'] })
	test.each([
		['one without tags', [plain], null], ['one with tags', [tagged], 'edge-1'], ['five without tags', Array(5).fill(plain), null],
		['six', Array(6).fill(plain), '6'], ['two, one with tags', [plain, tagged], '2'],
	])('to delete %s, type %s', (_, list, text) => expect(mustType(list)).toBe(text))
	test('what breaks is said', () => {
		expect(deletion([tagged]).join(' ')).toMatch(/online.*edge-1 or 100\.64\.0\.1.*tag:k3s.*join again/)
		expect(deletion([machine({ online: false }), plain]).join(' ')).toMatch(/1 of them is online/)
	})
})

test('states of machines', () => {
	expect(machineStatus(machine({}), NOW).word).toBe('Online')
	expect(machineStatus(machine({ online: false }), NOW).word).toBe('Offline')
	expect(machineStatus(machine({ keyExpires: NOW - 1 }), NOW).word).toBe('Expired')
	expect(machineStatus(machine({ deletedBy: 'ann' }), NOW).word).toBe('Deleted by ann')
	expect(attention(machine({}), NOW)).toEqual([])
	expect(attention(machine({ authorized: false, keyExpires: NOW + 3 * DAY }), NOW).map(a => a.kind)).toEqual(['pending', 'expiring'])
	expect(attention(machine({ keyExpires: NOW + 8 * DAY }), NOW)).toEqual([])
	expect(attention(machine({ authorized: false, deletedBy: '' }), NOW)).toEqual([])
})

test('states of keys', () => {
	expect(keyStatus(key({}), NOW).word).toBe('Active')
	expect(keyStatus(key({ expires: NOW }), NOW).word).toBe('Expired')
	expect(keyStatus(key({ expires: null }), NOW).word).toBe('Active')
	expect(keyStatus(key({ state: 'used' }), NOW).word).toBe('Used up')
	expect(keyStatus(key({ state: 'revoked' }), NOW).word).toBe('Revoked')
	expect([0, 1, 1204].map(uses => keyUses(key({ uses, reusable: true })))).toEqual(['Not yet', 'Once', '1,204 times'])
})

test.each([
	[{ tags: ['tag:k3s'] }, true, 'One machine, tagged tag:k3s, joins without approval.'],
	[{ reusable: true, ephemeral: true, preauthorized: false }, true, 'Any number of machines wait for approval and are removed after going offline.'],
	[{ preauthorized: false }, true, 'One machine waits for approval.'],
	[{}, false, 'One machine joins.'],
	[{ reusable: true, preauthorized: false }, false, 'Any number of machines join. They would wait for approval if the settings asked for it.'],
	[{ ephemeral: true, preauthorized: false }, false, 'One machine joins and is removed after going offline. It would wait for approval if the settings asked for it.'],
])('key %j, machines need approval: %s', (more, needsApproval, text) => expect(keyMeaning(key(more), needsApproval)).toBe(text))

test.each([
	[-1, 180, 'after 180 days, as the server is configured'], [-1, 0, 'never, as the server is configured'], [0, 180, 'never'], [1, 180, 'after 1 day'],
	[90, 180, 'after 90 days'],
])('with %i days of keys and %i configured they expire %s', (days, configured, text) => expect(keyDaysText(days, configured)).toBe(text))

test('days of keys are checked before they are sent', () => {
	for (const good of ['1', ' 90 ', '3650']) expect(keyDaysComplaint(good)).toBe('')
	for (const bad of ['', '0', '-1', '1.5', '3651', 'x', '1e3']) expect(keyDaysComplaint(bad)).toContain('1 to 3,650')
})

test('join lines have what K3s and the client read', () => {
	expect(tailscaleLine('https://h', 'tskey-auth-a')).toBe('tailscale up --login-server=https://h --authkey=tskey-auth-a')
	expect(k3sLine('https://h', 'tskey-auth-a')).toBe('k3s server --vpn-auth="name=tailscale,joinKey=tskey-auth-a,controlServerURL=https://h,extraArgs=--accept-dns=false"')
})

test('tags and names are checked before they are sent', () => {
	expect(normalTag(' k3s ')).toBe('tag:k3s')
	expect(normalTag('tag:k3s')).toBe('tag:k3s')
	expect(['tag:k3s', 'tag:A-1'].map(tagComplaint)).toEqual(['', ''])
	for (const bad of ['tag:', 'tag:1a', 'tag:a b', 'tag:a_b']) expect(tagComplaint(bad)).toContain(bad)
	expect(['a', 'edge-1', 'x'.repeat(63)].map(nameComplaint)).toEqual(['', '', ''])
	for (const bad of ['', '-a', 'a-', 'a_b', 'ä', 'x'.repeat(64)]) expect(nameComplaint(bad)).not.toBe('')
})

test('audit records are sentences', () => {
	const c = { what: 'node.tag', object: 'node 7', before: { name: 'e', tags: ['tag:a'] }, after: { name: 'e', tags: ['tag:a', 'tag:b'] } }
	const say = (what: string, actor: string, isClear: boolean) => {
		const s = sentence({ ...c, what }, actor, isClear)
		return `${s.who} ${s.text}`
	}
	expect(say('node.tag', 'ann', false)).toBe('ann changed the tags of e')
	expect(say('node.tag', 'ann', true)).toBe('ann changed its tags')
	expect(say('node.register', 'key k1', false)).toBe('e joined with key k1')
	expect(say('node.logout', '', true)).toBe('It signed out')
	expect(say('node.unheard', '', false)).toBe('The server node.unheard e')
	expect(say('session.open', 'ann', false)).toBe('ann signed in')
	expect(say('node.register', 'ann', false)).toBe('e joined, let in by ann')
	expect(say('node.reregister', 'ann', true)).toBe('It signed in again, let in by ann')
	expect(say('node.logout', 'node 7', false)).toBe('e signed out')
	expect(say('node.deauthorize', 'ann', false)).toBe('ann took back the approval of e')
	expect(say('node.expiring', '', false)).toBe('e has a key that expires soon')
	expect(sentence({ what: 'login.reject', object: 'login abc', before: { hostname: 'laptop' }, after: null }, 'ann', false)).toEqual({ who: 'ann', text: 'rejected laptop' })
	const change = { what: 'settings.change', object: 'settings', before: { devices_need_approval: 0, key_days: -1 }, after: { devices_need_approval: 1, key_days: 0 } }
	expect(sentence(change, 'ann', false)).toEqual({ who: 'ann', text: 'changed the settings' })
	expect(differences(change)).toEqual(['device approval off → on', 'days of keys as configured → never'])
	expect(differences(c)).toEqual(['tags tag:a → tag:a tag:b'])
	expect(differences({ ...c, before: { keyExpiry: '0001-01-01T00:00:00Z', isExpiryOff: true }, after: { keyExpiry: '2026-11-23T22:33:45Z', isExpiryOff: false } }))
		.toEqual(['key expiry never → 23 Nov 2026'])
	expect(objectName({ ...c, before: {}, after: {} }, () => 'now')).toBe('now')
	expect(objectName({ what: 'x', object: 'key k', before: null, after: null })).toBe('key k')
	expect(differences({ ...c, before: null })).toEqual([])
})

test('SSH logins in the audit record', () => {
	const after = { source: { id: 1, name: 'pad' }, destination: { id: 2, name: '' }, localUser: 'root', approvedBy: 'ann' }
	const say = (what: string) => Object.values(sentence({ what, object: 'ssh x', before: null, after }, what === 'ssh.use' ? 'node 1' : 'ann', false)).join(' ')
	expect(say('ssh.approve')).toBe('ann let pad log in at node 2 as root by SSH')
	expect(say('ssh.reject')).toBe('ann did not let pad log in at node 2 as root by SSH')
	expect(say('ssh.use')).toBe('pad logged in at node 2 as root by SSH, let in before by ann')
})
