// Routes of a machine, as they are shown. Pure.
import { plural } from './format'
import type { Machine, Route, Status } from './model'

// One line: a network, or an exit node's two.
export interface RouteRow {
	name: string
	prefixes: string[]
	approved: boolean
	advertised: boolean
	byPolicy: boolean
	status: Status
}

function statusOf(r: Route, m: Machine): Status {
	if (!r.approved) return { shape: 'triangle', word: 'Waits for approval', tone: 'warn' }
	if (!r.advertised) return { shape: 'ring', word: 'Not advertised', tone: 'off' }
	if (!m.online) return { shape: 'ring', word: 'Machine is offline', tone: 'off' }
	if (r.exit) return { shape: 'dot', word: 'Offered', tone: 'ok' }
	if (r.primary) return { shape: 'dot', word: 'In use', tone: 'ok' }
	return m.answersProbes
		? { shape: 'half', word: 'Stands by for another machine', tone: 'info' }
		: { shape: 'cross', word: 'Does not answer', tone: 'bad' }
}

export function routeRows(m: Machine): RouteRow[] {
	const exits = m.routes.filter(r => r.exit)
	const row = (name: string, list: Route[]): RouteRow => ({
		name, prefixes: list.map(r => r.prefix), approved: list.every(r => r.approved), advertised: list.some(r => r.advertised),
		byPolicy: list.some(r => r.byPolicy), status: statusOf(list.find(r => !r.approved) ?? list.find(r => r.advertised) ?? list[0]!, m),
	})
	return [
		...(exits.length ? [row('Exit node', exits)] : []),
		...m.routes.filter(r => !r.exit).map(r => row(r.prefix, [r])),
	]
}

// Advertised, and nobody approved them.
export const waitingRoutes = (m: Machine) => routeRows(m).filter(r => r.advertised && !r.approved)

// What others use, by name.
export const usedRoutes = (m: Machine) => routeRows(m).filter(r => r.advertised && r.approved).map(r => r.name)

// "1 route to approve", '' for none.
export function waitingText(m: Machine): string {
	const waiting = waitingRoutes(m)
	if (waiting.length === 1 && waiting[0]!.name === 'Exit node') return 'Exit node to approve'
	return waiting.length ? `${plural(waiting.length, 'route')} to approve` : ''
}
