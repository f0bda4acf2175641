import { expect, test } from 'vitest'
import { differences, sentence } from '../src/lib/audit'
import { deletion, mustType } from '../src/lib/danger'
import { machineOf } from '../src/lib/merge'
import { attention, type Route } from '../src/lib/model'
import { routeRows, waitingText } from '../src/lib/routes'
import { matcher, vocabulary } from '../src/lib/search'
import { machine, NOW } from './machine'

const route = (prefix: string, more: Partial<Route> = {}): Route => ({
	prefix, advertised: true, approved: true, primary: true, exit: prefix.endsWith('/0'), byPolicy: false, ...more,
})

test('rows: an exit node is one, each says how it stands', () => {
	const words = (r: Route[], more = {}) => routeRows(machine({ routes: r, ...more })).map(row => `${row.name}: ${row.status.word}`)
	expect(words([route('0.0.0.0/0'), route('10.1.0.0/16'), route('::/0')])).toEqual(['Exit node: Offered', '10.1.0.0/16: In use'])
	expect(words([route('0.0.0.0/0', { approved: false }), route('::/0', { approved: false })])).toEqual(['Exit node: Waits for approval'])
	expect(words([route('10.1.0.0/16', { approved: false })])).toEqual(['10.1.0.0/16: Waits for approval'])
	expect(words([route('10.1.0.0/16', { advertised: false, primary: false })])).toEqual(['10.1.0.0/16: Not advertised'])
	expect(words([route('10.1.0.0/16', { primary: false })])).toEqual(['10.1.0.0/16: Stands by for another machine'])
	expect(words([route('10.1.0.0/16', { primary: false })], { answersProbes: false })).toEqual(['10.1.0.0/16: Does not answer'])
	expect(words([route('10.1.0.0/16')], { online: false })).toEqual(['10.1.0.0/16: Machine is offline'])
})

test('what waits is counted, told and found', () => {
	const exit = [route('0.0.0.0/0', { approved: false }), route('::/0', { approved: false })]
	const net = route('10.1.0.0/16', { approved: false })
	expect(waitingText(machine({}))).toBe('')
	expect(waitingText(machine({ routes: exit }))).toBe('Exit node to approve')
	expect(waitingText(machine({ routes: [net] }))).toBe('1 route to approve')
	expect(waitingText(machine({ routes: [...exit, net] }))).toBe('2 routes to approve')
	expect(waitingText(machine({ routes: [{ ...net, advertised: false }] }))).toBe('')
	expect(attention(machine({ routes: [net] }), NOW).map(a => a.kind)).toEqual(['routes'])
	expect(attention(machine({ routes: [net], deletedBy: '' }), NOW)).toEqual([])
	const all = [machine({}), machine({ id: '2', routes: [net] })]
	expect(all.filter(matcher('is:routes', vocabulary(all), NOW)).map(m => m.id)).toEqual(['2'])
})

test('as the server has them; servers without routes', () => {
	expect(machineOf({ id: '1' }).routes).toEqual([])
	expect(machineOf({ id: '1', answersProbes: false, routes: [{ prefix: '10.1.0.0/16', advertised: true }] })).toMatchObject({
		answersProbes: false, routes: [{ prefix: '10.1.0.0/16', advertised: true, approved: false, primary: false, exit: false, byPolicy: false }],
	})
})

test('the audit record reads like a sentence', () => {
	const c = { what: 'node.routes', object: 'node 7', before: { approvedRoutes: [] }, after: { approvedRoutes: ['10.1.0.0/16'] } }
	const s = sentence(c, 'policy', false, () => 'gw')
	expect(`${s.who} ${s.text}`).toBe('policy changed the approved routes of gw')
	expect(differences(c)).toEqual(['routes none → 10.1.0.0/16'])
})

test('a machine that routes is deleted by typing its name, and what is cut off is said', () => {
	const gw = machine({ name: 'gw', routes: [route('10.1.0.0/16'), route('10.2.0.0/16', { approved: false })] })
	expect(mustType([gw])).toBe('gw')
	expect(mustType([gw, machine({ id: '2' })])).toBe('2')
	expect(mustType([machine({ routes: [route('10.2.0.0/16', { approved: false })] })])).toBe(null)
	expect(deletion([gw]).join(' ')).toMatch(/It routes 10\.1\.0\.0\/16: what no other machine routes is cut off\./)
	const many = [0, 1, 2, 3, 4, 5].map(i => route(`10.${i}.0.0/16`))
	expect(deletion([machine({ routes: many }), gw]).join(' ')).toMatch(/They route .* and 2 more:/)
})
