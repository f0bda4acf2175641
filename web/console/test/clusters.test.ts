import { expect, test } from 'vitest'
import { cidrs, cidrsComplaint, clusterNameComplaint, clustersOf, conflictSentence } from '../src/lib/clusters'

test('what the server says', () => {
	const c = clustersOf({
		clusters: [{ name: 'edge-a', tag: 'tag:k3s-edge-a', recorded: true, podCIDRs: ['10.42.0.0/16'], serviceCIDRs: ['10.43.0.0/16'], lanPrefixes: [], routes: ['10.42.0.0/24'], nodes: 2, nodesOnline: 1, keyId: 'k', created: '2026-11-24T00:00:00Z' }],
		conflicts: [{ text: 'clusters edge-a and edge-b both claim 10.42.7.0/24', clusters: ['edge-a', 'edge-b'], prefixes: ['10.42.7.0/24'], nodes: [{ id: '7', name: 'b-1' }] }],
		refusesOverlap: true,
	})
	expect(c.list[0]).toMatchObject({ name: 'edge-a', pods: ['10.42.0.0/16'], nodes: 2, online: 1 })
	expect(c.list[0]!.created).toBe(Date.parse('2026-11-24T00:00:00Z'))
	expect(c.conflicts[0]!.clusters).toEqual(['edge-a', 'edge-b'])
	expect(c.refuses).toBe(true)
	expect(conflictSentence(c.conflicts[0]!)).toBe('Clusters edge-a and edge-b both claim 10.42.7.0/24. Advertised by b-1.')
	expect(clustersOf({})).toEqual({ list: [], conflicts: [], refuses: false })
})

test.each([['edge-a', true], ['7', true], ['a'.repeat(55), true], ['', false], ['A', false], ['-a', false], ['a-', false], ['a.b', false], ['a'.repeat(56), false]])(
	'name %s: %s', (name, good) => expect(clusterNameComplaint(name) === '').toBe(good))

test.each([
	['', 2, true], ['10.42.0.0/16', 2, true], [' 10.42.0.0/16, fd00:42::/56 ', 2, true], ['10.42.0.0', 2, false], ['pods', 2, false],
	['10.42.0.0/16 10.44.0.0/16 10.46.0.0/16', 2, false],
])('ranges %s, %i at most: %s', (line, most, good) => expect(cidrsComplaint(line, most) === '').toBe(good))

test('ranges', () => expect(cidrs(' 10.42.0.0/16,  fd00:42::/56')).toEqual(['10.42.0.0/16', 'fd00:42::/56']))
