import { expect, test } from 'vitest'
import { differences, sentence } from '../src/lib/audit'
import { howMany, quotasOf, rateComplaint, rateText, subjectComplaint, whose } from '../src/lib/quotas'

test('what the server says', () => {
	const list = quotasOf({
		quotas: [
			{ subject: 'default', kind: 'default', name: 'default', id: null, bytesPerSecond: 0, rate: 'none', source: 'config', nodes: 3 },
			{ subject: 'tag:k3s', kind: 'tag', name: 'tag:k3s', id: null, bytesPerSecond: 10_000_000, rate: '10 MB/s', source: 'api', nodes: 1 },
			{ subject: 'user:ann', kind: 'user', name: 'ann', id: '1', bytesPerSecond: 1500, source: 'api', nodes: 2000 },
			{ subject: 'node:nas', kind: 'node', name: 'nas', id: '7', bytesPerSecond: 0, source: 'api', nodes: 1 },
		],
	})
	expect(list.map(q => [whose(q), howMany(q), rateText(q), q.isSet].join(' | '))).toEqual([
		'Each machine, unless it has a quota of its own | 3 machines | No limit | false',
		'Machines with tag:k3s, together | 1 machine | 10 MB/s | true',
		'Untagged machines of ann, together | 2,000 machines | 1.5 kB/s | true',
		'nas |  | No limit | true',
	])
	expect(quotasOf({})).toEqual([])
})

test.each([
	['10MB/s', true], ['10 MB/s', true], ['800 kbit/s', true], ['1.5 MiB/s', true], ['80Mbps', true], ['1000000', true], ['none', true], ['Unlimited', true],
	['', false], ['10', true], ['10M', false], ['fast', false], ['-1 MB/s', false], ['10 MB/h', false], ['1,5 MB/s', false],
])('rate %s: %s', (line, good) => expect(rateComplaint(line) === '').toBe(good))

test('whose it is has to be said', () => {
	expect(subjectComplaint(' ')).not.toBe('')
	expect(subjectComplaint('tag:k3s')).toBe('')
})

test('the audit record reads like a sentence', () => {
	const names = (object: string) => (object === 'node 7' ? 'nas' : undefined)
	const set = { what: 'quota.set', object: 'quota node 7', before: { bytesPerSecond: 1000 }, after: { bytesPerSecond: 10_000_000 } }
	expect(sentence(set, 'ann', false, names)).toEqual({ who: 'ann', text: 'changed the quota of nas' })
	expect(differences(set)).toEqual(['rate 1 kB/s → 10 MB/s'])
	expect(sentence({ ...set, what: 'quota.unset', object: 'quota tag:k3s', after: null }, 'ann', false, names).text).toBe('took away the quota of tag:k3s')
	expect(sentence({ ...set, object: 'quota default' }, 'ann', false, names).text).toBe('changed the default quota')
})
