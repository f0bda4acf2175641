// The routes of one machine: what it advertises, and a switch to approve each.
import { signal } from '@preact/signals'
import { messageOf } from '../api'
import type { Machine, Status } from '../lib/model'
import { routeRows, waitingRoutes, type RouteRow } from '../lib/routes'
import { later, problem, toast } from '../notices'
import { setRoutes, whyNot } from '../state'
import { Act, StatusWord } from '../ui/basics'

const working = signal<ReadonlySet<string>>(new Set())
// Approvals that end in a moment, and what keeps them.
const ending = signal<ReadonlyMap<string, () => void>>(new Map())
const keyOf = (m: Machine, row: RouteRow) => `${m.id} ${row.name}`
const endsSoon: Status = { shape: 'clock', word: 'Approval ends within 10\u00a0s', tone: 'warn' }

export async function approveRoutes(m: Machine, rows = waitingRoutes(m)) {
	const keys = rows.map(r => keyOf(m, r))
	const names = rows.map(r => r.name).join(', ')
	working.value = new Set([...working.value, ...keys])
	try {
		await setRoutes(m.id, { approve: rows.flatMap(r => r.prefixes) })
		toast(`${m.name} may route ${names}.`)
	} catch (e) {
		problem(`Could not approve ${names} of ${m.name}. ${messageOf(e)}`)
	}
	working.value = new Set([...working.value].filter(k => !keys.includes(k)))
}

function unapproveLater(m: Machine, row: RouteRow) {
	const back = row.byPolicy && row.advertised ? ' The policy approves it by itself: it comes back with the next change of policy, tags or routes.' : ''
	const undo = later(`${m.name} loses ${row.name} in 10\u00a0s.`, `${m.name} keeps ${row.name}.`,
		async options => {
			try {
				await setRoutes(m.id, { unapprove: row.prefixes }, options)
			} catch (e) {
				throw new Error(`Could not take back ${row.name} of ${m.name}. ${messageOf(e)}`)
			}
			if (!options) toast(`${m.name} may no longer route ${row.name}.${back}`)
		},
		() => { ending.value = new Map([...ending.value].filter(([k]) => k !== keyOf(m, row))) })
	ending.value = new Map([...ending.value, [keyOf(m, row), undo]])
}

function Row({ m, row }: { m: Machine; row: RouteRow }) {
	const why = whyNot('routes')
	const keep = ending.value.get(keyOf(m, row))
	const change = () => {
		if (keep) keep()
		else if (row.approved) unapproveLater(m, row)
		else void approveRoutes(m, [row])
	}
	return (
		<li class="route">
			<label title={why}>
				<input
					type="checkbox" role="switch" checked={row.approved && !keep} disabled={!!why || working.value.has(keyOf(m, row))}
					aria-label={`Approve ${row.name}`}
					onClick={e => {
						// It shows what is so, not what is wished for; the browser puts it back once this returns.
						e.preventDefault()
						setTimeout(change)
					}}
				/>
				{row.name === 'Exit node' ? <span>Exit node <code class="muted">{row.prefixes.join(' ')}</code></span> : <code>{row.name}</code>}
			</label>
			<StatusWord status={keep && row.approved ? endsSoon : row.status} />
			{row.byPolicy && <span class="muted">approved by the policy</span>}
		</li>
	)
}

export function Routes({ m }: { m: Machine }) {
	const rows = routeRows(m)
	const waiting = waitingRoutes(m).length
	if (!rows.length || m.deletedBy !== undefined) return null
	return (
		<section aria-labelledby="routes" class="full">
			<h2 id="routes">Routes {waiting > 0 && <span class="badge inline" title="Wait for approval">{waiting}</span>}</h2>
			<p class="muted">Networks behind this machine. Others use them when they are approved here, the policy lets them, and they accept routes.</p>
			<ul class="plain routes" role="list">{rows.map(r => <Row key={r.name} m={m} row={r} />)}</ul>
			{waiting > 1 && <Act right="routes" onClick={() => void approveRoutes(m)}>Approve all {waiting}</Act>}
		</section>
	)
}
