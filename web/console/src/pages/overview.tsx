// Is anything wrong? How many are online?
import type { ComponentChildren } from 'preact'
import { bytes, count, duration, plural, WEEK } from '../lib/format'
import { attention, keyIsActive } from '../lib/model'
import type { ServerStatus } from '../questions'
import { clockIsWrong, keys, loadStatus, loginCount, machines, now, policy, session, sshCount, status as serverStatus, statusError } from '../state'
import { Banner, Shape, Skeleton, toneShapes } from '../ui/basics'
import { Changes } from './changes'
import { FirstMachine } from './first-machine'
import { PageHead } from './page-head'
import { Unusable, Waits, WaitsActions } from './policy'

function Tile({ label, value, note, href }: { label: string; value: ComponentChildren; note?: ComponentChildren; href?: string }) {
	const body = <><span class="tile-label">{label}</span><span class="tile-value">{value}</span>{note && <span class="tile-note">{note}</span>}</>
	return href ? <a class="tile" href={href}>{body}</a> : <div class="tile">{body}</div>
}

interface Warning {
	id: string
	tone: 'warn' | 'bad' | 'info'
	text: string
	href?: string
	action?: string
	body?: ComponentChildren // instead of the text
	actions?: ComponentChildren
}

function warnings(status: ServerStatus | null): Warning[] {
	const out: Warning[] = []
	const all = [...machines.data.items.values()]
	const counted = (kind: string) => all.filter(m => attention(m, now.value).some(a => a.kind === kind)).length
	const list = (state: string) => `/machines?q=is%3A${state}`
	const pending = counted('pending')
	const routes = counted('routes')
	const expired = counted('expired')
	const expiring = counted('expiring')
	const endingKeys = [...keys.data.items.values()].filter(k => keyIsActive(k, now.value) && k.expires !== null && k.expires - now.value < WEEK).length
	if (status?.metrics.storeFailures) {
		out.push({ id: 'store', tone: 'bad', text: `${plural(status.metrics.storeFailures, 'write', 'writes')} to the disk failed since the start. Look at the free space and the log of the server.` })
	}
	const p = policy.value
	if (p?.problem) out.push({ id: 'policy', tone: 'bad', text: '', body: <Unusable p={p} /> })
	if (p && p.confirmBy !== null) out.push({ id: 'policy-waits', tone: 'warn', text: '', body: <Waits p={p} />, actions: <WaitsActions p={p} /> })
	for (const [i, c] of (status?.clusterConflicts ?? []).entries()) {
		out.push({ id: `cluster-${i}`, tone: 'bad', text: `${c.text[0]!.toUpperCase()}${c.text.slice(1)}.`, href: '/clusters', action: 'Show' })
	}
	if (loginCount.value) out.push({ id: 'logins', tone: 'warn', text: `${plural(loginCount.value, 'device asks', 'devices ask')} to join.`, href: '/machines', action: 'Review' })
	if (sshCount.value) out.push({ id: 'ssh', tone: 'warn', text: `${plural(sshCount.value, 'SSH login waits', 'SSH logins wait')} for approval.`, href: '/machines', action: 'Review' })
	if (pending) out.push({ id: 'pending', tone: 'warn', text: `${plural(pending, 'machine waits', 'machines wait')} for approval.`, href: list('pending'), action: 'Review' })
	if (routes) out.push({ id: 'routes', tone: 'warn', text: `${plural(routes, 'machine advertises routes that wait', 'machines advertise routes that wait')} for approval.`, href: list('routes'), action: 'Review' })
	if (expired) out.push({ id: 'expired', tone: 'bad', text: `${plural(expired, 'machine has', 'machines have')} an expired key and cannot connect.`, href: list('expired'), action: 'Show' })
	if (expiring) out.push({ id: 'expiring', tone: 'warn', text: `${plural(expiring, 'machine key expires', 'machine keys expire')} within 7 days.`, href: list('expiring'), action: 'List' })
	if (endingKeys) out.push({ id: 'keys', tone: 'info', text: `${plural(endingKeys, 'auth key expires', 'auth keys expire')} within 7 days.`, href: '/keys?show=active&sort=expires', action: 'List' })
	if (clockIsWrong.value) out.push({ id: 'clock', tone: 'warn', text: 'The clock of this computer is more than a minute off. Times here follow the server.' })
	if (session.value && !session.value.isTls) out.push({ id: 'tls', tone: 'info', text: 'This page came over plain http. That is fine on this machine or in a private network only.' })
	return out
}

export function OverviewPage() {
	machines.want()
	keys.want()
	const version = machines.version.value + keys.version.value
	const all = [...machines.data.items.values()]
	const online = all.filter(m => m.online).length
	const active = [...keys.data.items.values()].filter(k => keyIsActive(k, now.value)).length
	const status = serverStatus.value
	const list = warnings(status)
	const loaded = machines.data.loaded && keys.data.loaded
	const failed = statusError.value || machines.error.value || keys.error.value
	return (
		<>
			<PageHead title="Overview" />
			{failed && (
				<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => { machines.refetch(); keys.refetch(); void loadStatus() }}>Try again</button>}>
					Could not load everything. {failed}
				</Banner>
			)}
			{!loaded ? !failed && <Skeleton noun="the overview" /> : (
				<>
					<div class="tiles">
						<Tile label="Machines online" value={<>{count(online)}<span class="of"> / {count(all.length)}</span></>} href="/machines?q=is%3Aonline" note={`${count(all.length - online)} offline`} />
						<Tile label="Active keys" value={count(active)} href="/keys?show=active" note={`${count(keys.data.items.size)} in all`} />
						<Tile label="Relayed" value={status ? bytes(status.metrics.relayBytesSent ?? 0) : '–'} note={status ? plural(status.metrics.relayConnections ?? 0, 'connection') : ''} />
						<Tile label="Running for" value={status ? duration(status.uptimeSeconds * 1000) : '–'} note={status ? `version ${status.version}` : ''} />
					</div>
					<section aria-labelledby="attention">
						<h2 id="attention">Needs attention</h2>
						{list.length ? (
							<ul class="warnings" role="list">
								{list.map(w => (
									<li key={w.id} class={`warning ${w.tone}`}>
										<Shape name={toneShapes[w.tone]} />
										<div class="warning-text">{w.body ?? w.text}</div>
										{w.actions && <div class="banner-action">{w.actions}</div>}
										{w.href && <a class="button small" href={w.href} aria-label={`${w.action}: ${w.text}`}>{w.action}</a>}
									</li>
								))}
							</ul>
						) : <p class="fine"><span class="status ok"><Shape name="dot" /> Nothing.</span> <span class="muted">No machine waits, no key is about to end.</span></p>}
					</section>
					{!all.length ? <FirstMachine server={session.value!.serverUrl} /> : (
						<section aria-labelledby="changes">
							<h2 id="changes">Latest changes</h2>
							<Changes of="" limit={10} trigger={Math.floor(version / 4)} />
						</section>
					)}
				</>
			)}
		</>
	)
}
