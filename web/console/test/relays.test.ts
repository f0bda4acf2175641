import { describe, expect, test } from 'vitest'
import { sentence } from '../src/lib/audit'
import {
	atHome, codeComplaint, emptyNode, homeLoss, hostPort, hostText, nodeComplaints, nodeJson, nodeOf, regionIdComplaint, regionNameComplaint, regionOf,
	regionOrder, relayNameComplaint, relayOf, relayState, sourceText, unusual,
} from '../src/lib/relays'
import { machine } from './machine'

const pin = `sha256-raw:${'0f'.repeat(32)}`
const node = { name: '5a', hostname: 'derp.example.org' }

test('what the server says', () => {
	const r = regionOf({ id: '5', code: 'near', name: 'Near', source: 'api', created: '2026-11-24T00:00:00Z', nodes: [{ ...node, derpPort: 8443, stunPort: -1 }] })
	expect(r).toMatchObject({ id: '5', code: 'near', source: 'api' })
	expect(r.nodes[0]).toMatchObject({ derpPort: 8443, stunPort: -1, mesh: false })
	expect(nodeOf(node)).toMatchObject({ derpPort: 443, stunPort: 3478 })
	expect(regionOf({}).nodes).toEqual([])
	expect(relayOf({ name: 'edge', region: '5', node: null })).toMatchObject({ id: 'edge', node: null, connected: false })
	expect(relayOf({ name: 'edge', region: '5', connected: true, node }).node!.hostname).toBe('derp.example.org')
})

test('the own region comes first, the others by number', () => {
	const list = [regionOf({ id: '10' }), regionOf({ id: '900', source: 'own' }), regionOf({ id: '9', source: 'config' })]
	expect(list.sort(regionOrder).map(r => r.id)).toEqual(['900', '9', '10'])
	expect(list.map(sourceText)).toEqual([expect.stringMatching(/derp\.\*/), expect.stringMatching(/derp\.paths/), 'Added here'])
})

test.each([
	[{}, 'derp.example.org', ''],
	[{ derpPort: 8443, stunPort: -1, certName: pin }, 'derp.example.org:8443', 'no STUN, pinned certificate'],
	[{ hostname: 'fd7a::1', derpPort: 8443, stunPort: 3479, mesh: true }, '[fd7a::1]:8443', 'STUN 3479, linked with the others'],
	[{ ipv4: '192.0.2.7', ipv6: 'none', certName: 'x.example.org' }, 'derp.example.org', '192.0.2.7, certificate of x.example.org'],
	[{ ipv4: 'none' }, 'derp.example.org', 'not by IPv4'],
])('the node %o', (more, host, rest) => {
	expect(hostText(nodeOf({ ...node, ...more }))).toBe(host)
	expect(unusual(nodeOf({ ...node, ...more }))).toBe(rest)
})

describe('states of relays', () => {
	const relay = (more: object) => relayState(relayOf({ name: 'edge', region: '5', node, ...more }))
	test.each([
		['never came', { node: null }, 'Has not come yet', 'off', /line/],
		['away, announced', { announced: true }, 'Away', 'warn', /Clients still know it/],
		['away, left out', {}, 'Away', 'bad', /not told of it any more/],
		['good', { connected: true, reachable: true, announced: true }, 'Reachable', 'ok', /^$/],
		['good, a moment ago', { connected: true, reachable: true }, 'Reachable', 'ok', /in a moment/],
		['probed', { connected: true }, 'Being probed', 'off', /looks whether/],
		['unreachable', { connected: true, trouble: 'https://x does not answer: timeout' }, 'Cannot be reached', 'bad', /^https:\/\/x does not answer: timeout\. Clients are not told/],
		['unreachable, announced', { connected: true, announced: true, trouble: 'No.' }, 'Cannot be reached', 'warn', /^No\. Clients still know it\.$/],
	])('%s', (_, more, word, tone, text) => {
		expect(relay(more)).toMatchObject({ word, tone })
		expect(relay(more).text).toMatch(text)
	})
})

test('who is at home', () => {
	const list = [machine({ homeDerp: 5 }), machine({ homeDerp: 5, online: false }), machine({ homeDerp: 900 }), machine({ homeDerp: 0 })]
	expect(atHome(list, '5')).toEqual({ all: 2, online: 1 })
	expect([0, 1, 2].map(homeLoss).map(s => s.split(':')[0])).toEqual([
		'No machine has its home there.', '1 machine has its home there and looks for another region', '2 machines have their home there and look for another region',
	])
})

test.each([['near', true], ['a-1', true], ['', false], ['Near', false], ['-a', false], ['a-', false], ['a.b', false], ['a'.repeat(16), true], ['a'.repeat(17), false]])(
	'code %s: %s', (code, good) => expect(codeComplaint(code) === '').toBe(good))
test('other names', () => {
	expect(relayNameComplaint('a'.repeat(39))).toBe('')
	expect(relayNameComplaint('a'.repeat(40))).toMatch(/40 characters, at most 39/)
	expect(regionNameComplaint('東京')).toBe('')
	expect(regionNameComplaint('東'.repeat(22))).toMatch(/63 bytes/)
	expect(['', '1', '65535'].map(regionIdComplaint)).toEqual(['', '', ''])
	expect(['0', '65536', '-1', '1e3', 'x'].every(regionIdComplaint)).toBe(true)
})

test.each([
	['derp.example.org', { hostname: 'derp.example.org' }], ['Derp.example.org:8443', { hostname: 'derp.example.org', derpPort: 8443 }],
	['192.0.2.7:80', { hostname: '192.0.2.7', derpPort: 80 }], ['fd7a::1', { hostname: 'fd7a::1' }], ['[fd7a::1]', { hostname: 'fd7a::1' }],
	['[fd7a::1]:8443', { hostname: 'fd7a::1', derpPort: 8443 }], ['x:0', null], ['x:65536', null], ['x:', null], ['a b', null], ['', null],
])('host %s', (s, parts) => expect(hostPort(s)).toEqual(parts))

test.each([
	[{ host: 'derp.example.org' }, []], [{ host: '' }, ['host']], [{ host: 'x_y' }, ['host']], [{ host: 'https://x' }, ['host']], [{ host: 'x:99999' }, ['host']],
	[{ host: 'x', stun: 'off', ipv4: 'none', ipv6: 'fd7a::1', pin }, []], [{ host: 'x', stun: '0' }, ['stun']], [{ host: 'x', ipv4: 'fd7a::1' }, ['ipv4']],
	[{ host: 'x', ipv6: '1.2.3.4' }, ['ipv6']], [{ host: 'x', pin: 'sha256-raw:12' }, ['pin']],
])('node %o: %j is wrong', (more, wrong) => expect(Object.keys(nodeComplaints({ ...emptyNode, ...more }))).toEqual(wrong))

test('a node for the server', () => {
	expect(nodeJson({ ...emptyNode, host: ' x.example.org ' })).toEqual({ hostname: 'x.example.org' })
	expect(nodeJson({ host: '[::1]:8443', stun: 'off', ipv4: 'none', ipv6: '::1', pin, canPort80: true, mesh: true })).toEqual({
		hostname: '::1', derpPort: 8443, stunPort: -1, ipv4: 'none', ipv6: '::1', certName: pin, canPort80: true, mesh: true,
	})
	expect(nodeJson({ ...emptyNode, host: 'x', stun: '3479' })).toEqual({ hostname: 'x', stunPort: 3479 })
})

test('records of it', () => {
	const say = (what: string, object: string, after: Record<string, unknown>, actor = 'ann') => {
		const s = sentence({ what, object, before: null, after }, actor, false)
		return `${s.who} ${s.text}`
	}
	expect(say('region.create', 'region 5', { code: 'near', name: 'Near' })).toBe('ann created region Near')
	expect(say('relay.remove', 'relay edge', { region: 5 })).toBe('ann deleted relay edge')
	expect(say('relay.announce', 'relay edge', { region: 5 }, '')).toBe('The server tells machines of relay edge')
	expect(say('relay.change', 'relay edge', { region: 5 }, '')).toBe('The server found another address or version of relay edge')
})
