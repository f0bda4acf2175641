import { expect, test } from 'vitest'
import { backoff, EventParser } from '../src/lib/sse'

const stream = 'retry: 2000\n\nid: 5f-1\nevent: node\ndata: {"a":1}\n\n: keep-alive\n\nevent: reset\ndata: {}\n\ndata: one\ndata:two\n\n'
const events = [
	{ id: '5f-1', type: 'node', data: '{"a":1}' }, { id: '5f-1', type: 'reset', data: '{}' }, { id: '5f-1', type: 'message', data: 'one\ntwo' },
]

test.each([1, 2, 3, 7, 1000])('events are the same in pieces of %i', size => {
	const p = new EventParser()
	const out = []
	for (let i = 0; i < stream.length; i += size) out.push(...p.feed(stream.slice(i, i + size)))
	expect(out).toEqual(events)
})

test('lines may end in CR LF, also cut between the two', () => {
	const p = new EventParser()
	expect([...p.feed('data: x\r'), ...p.feed('\n\r\n')]).toEqual([{ id: '', type: 'message', data: 'x' }])
})

test('waits grow to half a minute and are never the same for all', () => {
	expect([0, 1, 2, 3, 4, 5, 50].map(n => backoff(n, 0))).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
	expect(backoff(5, 0.999)).toBeGreaterThanOrEqual(20_000)
	expect(backoff(0, 0.5)).toBeLessThan(1000)
})
