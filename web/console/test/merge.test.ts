import { describe, expect, test } from 'vitest'
import { Collection, keyOf, loginOf, machineOf, settingsOf, sshOf } from '../src/lib/merge'

interface Thing { id: string; v: number; deletedBy?: string }
const thing = (id: string, v: number): Thing => ({ id, v })
const state = (c: Collection<Thing>) => [...c.items.values()].map(t => `${t.id}${t.v}`).join(' ')

describe('Collection', () => {
	test('events that come while the list is fetched are applied behind it, in order', () => {
		const c = new Collection<Thing>()
		c.expect()
		c.apply({ id: 'a', item: thing('a', 1), by: '' })
		c.apply({ id: 'a', item: thing('a', 2), by: '' })
		c.apply({ id: 'b', item: null, by: 'ann' })
		expect(state(c)).toBe('')
		c.replace([thing('a', 0), thing('b', 0), thing('c', 0)])
		expect(state(c)).toBe('a2 c0')
		expect(c.find('b')).toEqual({ id: 'b', v: 0, deletedBy: 'ann' })
	})
	test('a fetch that fails loses no event', () => {
		const c = new Collection<Thing>()
		c.replace([thing('a', 0)])
		c.expect()
		c.apply({ id: 'a', item: thing('a', 1), by: '' })
		c.giveUp()
		expect(state(c)).toBe('a1')
	})
	test('what others delete can still be shown; what comes back is there again', () => {
		const c = new Collection<Thing>()
		c.replace([thing('a', 0)])
		c.apply({ id: 'a', item: null, by: 'ann' })
		expect(c.items.size).toBe(0)
		expect(c.find('a')?.deletedBy).toBe('ann')
		c.apply({ id: 'a', item: thing('a', 3), by: '' })
		expect(c.find('a')).toEqual(thing('a', 3))
		c.apply({ id: 'unknown', item: null, by: '' })
		expect(c.find('unknown')).toBeUndefined()
	})
	test('a list that lacks a row buries it', () => {
		const c = new Collection<Thing>()
		c.replace([thing('a', 0), thing('b', 0)])
		c.replace([thing('b', 1)])
		expect(state(c)).toBe('b1')
		expect(c.find('a')?.deletedBy).toBe('')
	})
	test('what the reader deletes goes without a trace', () => {
		const c = new Collection<Thing>()
		c.replace([thing('a', 0)])
		c.forget('a')
		expect(c.find('a')).toBeUndefined()
	})
})

test('objects of the API become machines and keys, whatever is missing', () => {
	const m = machineOf({ id: '7', name: 'edge', fqdn: 'edge.tailnet.internal.', tags: ['tag:k3s'], online: true, keyExpires: null, lastSeen: '2026-11-23T20:01:37Z', clientVersion: '1.90.0' })
	expect(m).toMatchObject({ id: '7', fqdn: 'edge.tailnet.internal', online: true, authorized: true, keyExpires: null, lastSeen: Date.UTC(2026, 10, 23, 20, 1, 37), version: '1.90.0' })
	expect(machineOf({})).toMatchObject({ id: '', tags: [], addresses: [], online: false, lastSeen: null })
	expect(machineOf({ tags: 'x', lastSeen: 'yesterday' })).toMatchObject({ tags: [], lastSeen: null })
	expect(keyOf({ id: 'k1', reusable: true, expires: null, uses: 3 })).toMatchObject({ id: 'k1', reusable: true, expires: null, uses: 3, state: '' })
})

test('what a device that nobody knows says of itself cannot deceive the eye', () => {
	const l = loginOf({
		id: 'a', hostname: ' lap\u202etop\u001b[31m\n', os: 'linux\u2066', osVersion: '6.1', clientVersion: '1.90.0', address: '203.0.113.5', tags: ['tag:\u200bx'],
		created: '2026-11-23T20:01:37Z', expires: null, nodeId: null,
	})
	expect(l).toMatchObject({
		hostname: 'lap top [31m', os: 'linux', osVersion: '6.1', address: '203.0.113.5', tags: ['tag: x'], nodeName: '', created: Date.UTC(2026, 10, 23, 20, 1, 37),
		expires: null, ephemeral: false,
	})
	expect(loginOf({})).toMatchObject({ id: '', hostname: '', tags: [], created: null })
	expect(settingsOf({ devicesNeedApproval: true, keyDays: -1, keyDaysInEffect: 180, keyDaysConfigured: 180 })).toEqual({ devicesNeedApproval: true, keyDays: -1, keyDaysConfigured: 180, refuseClusterOverlap: false, disableCgnatDropRule: false })
})

test('SSH logins that wait: who wants where, as whom', () => {
	expect(sshOf({
		id: 'a', source: { name: 'pad', user: 'ann', tags: [] }, destination: { name: 'db', user: 'ann', tags: ['tag:db'] }, localUser: 'ro\u202eot',
		checkPeriodSeconds: 3600, waiting: true, created: '2026-11-23T20:01:37Z',
	})).toEqual({ id: 'a', source: 'pad', sourceUser: 'ann', destination: 'db', localUser: 'ro ot', period: 3600, created: Date.UTC(2026, 10, 23, 20, 1, 37) })
	expect(sshOf({ source: { name: 'ci', user: 'ann', tags: ['tag:ci'] } })).toMatchObject({ source: 'ci', sourceUser: '', destination: '', period: 0 })
	expect(sshOf({})).toMatchObject({ id: '', source: '', created: null })
})
