// The relay: regions of the DERP map with their relays, what is wrong with them, and relays on other machines.
import type { ComponentChildren } from 'preact'
import { plural } from '../lib/format'
import { hostText, relayState, sourceText, unusual, type Region, type RegionNode, type Relay } from '../lib/relays'
import { machines, regions, relays, whyNot } from '../state'
import { Banner, Fact, Skeleton, StatusWord, Time } from '../ui/basics'
import { PageHead } from './page-head'
import { asked, home, regionList, RelayDialogs, relaysOf, type Asked } from './relay-dialogs'

// A button that writes. Why it cannot is said once for several of them, by the element of this id.
function Deed({ why, class: className = 'button small', disabled = false, what, children }: {
	why: string
	class?: string
	disabled?: boolean
	what: Asked
	children: ComponentChildren
}) {
	const isForbidden = whyNot('relays') !== ''
	return (
		<button type="button" class={className} disabled={isForbidden || disabled} aria-describedby={isForbidden || disabled ? why : undefined} onClick={() => { asked.value = what }}>
			{children}
		</button>
	)
}
const Why = ({ id, else: otherwise = '' }: { id: string; else?: string }) => {
	const text = whyNot('relays') || otherwise
	return text ? <span class="why" id={id}>{text}</span> : null
}
const whyId = (r: string) => `why-region-${r}`

function NodeRow({ region, node }: { region: Region; node: RegionNode }) {
	const isOwn = region.source === 'own'
	return (
		<li class="relay">
			<div class="relay-name">
				<code>{hostText(node)}</code>
				<span class="second muted">{unusual(node)}</span>
			</div>
			<StatusWord status={isOwn ? { word: 'In this server', shape: 'dot', tone: 'ok' } : { word: 'Not watched', shape: 'ring', tone: 'off' }} />
			{region.source === 'api' && (
				<Deed why={whyId(region.id)} class="button small danger-text" what={{ kind: 'remove-node', region, node }}>Remove…<span class="sr"> {hostText(node)}</span></Deed>
			)}
		</li>
	)
}

function RelayRow({ relay }: { relay: Relay }) {
	const state = relayState(relay)
	const address = relay.node?.hostname === relay.address ? '' : relay.address
	return (
		<li class="relay">
			<div class="relay-name">
				<span class="name">{relay.id}</span>
				<span class="second muted">
					{relay.node && <><code>{hostText(relay.node)}</code>, </>}
					{relay.connected ? [address && `comes from ${address}`, `version ${relay.version}`].filter(Boolean).join(', ')
						: relay.lastSeen !== null ? <>last seen <Time at={relay.lastSeen} past /></> : <>added <Time at={relay.created} past /></>}
				</span>
			</div>
			<StatusWord status={state} />
			<Deed why={whyId(relay.region)} class="button small danger-text" what={{ kind: 'remove-relay', relay }}>Remove…<span class="sr"> {relay.id}</span></Deed>
			{state.text && <p class={`relay-text ${state.tone === 'bad' || state.tone === 'warn' ? '' : 'muted'}`}>{state.text}</p>}
		</li>
	)
}

function Card({ region: r }: { region: Region }) {
	const id = `region-${r.id}`
	const signedIn = relaysOf(r.id)
	const at = home(r.id)
	const isOurs = r.source === 'api'
	return (
		<section aria-labelledby={id}>
			<h2 id={id}>{r.name}</h2>
			<dl>
				<Fact name="Code"><code>{r.code}</code>, number {r.id}</Fact>
				<Fact name="From">{sourceText(r)}{isOurs && <>, <Time at={r.created} past /></>}</Fact>
				<Fact name="Home of">{at.all ? <>{plural(at.all, 'machine')}, {at.online} online</> : <span class="muted">No machine</span>}</Fact>
			</dl>
			{r.nodes.length + signedIn.length > 0 ? (
				<ul class="relays" role="list" aria-label={`Relays of ${r.name}`}>
					{r.nodes.map(n => <NodeRow key={n.name} region={r} node={n} />)}
					{signedIn.map(x => <RelayRow key={x.id} relay={x} />)}
				</ul>
			) : <Banner tone="warn">It has no relay yet: machines cannot use it.</Banner>}
			{r.source !== 'own' && r.nodes.length > 0 && (
				<p class="help">Relays that run by themselves do not sign in here: <code>fairlead doctor</code> says whether they can be reached.</p>
			)}
			{isOurs ? (
				<div class="dialog-actions">
					<Deed why={whyId(r.id)} what={{ kind: 'add-node', region: r }}>Add running relay…<span class="sr"> to {r.name}</span></Deed>
					<Deed why={whyId(r.id)} what={{ kind: 'change', region: r }}>Change names…<span class="sr"> of {r.name}</span></Deed>
					<Deed why={whyId(r.id)} class="button small danger-text" disabled={signedIn.length > 0} what={{ kind: 'remove', region: r }}>Remove region…<span class="sr"> {r.name}</span></Deed>
					<Why id={whyId(r.id)} else={signedIn.length ? `To remove the region, remove its ${signedIn.length === 1 ? 'relay' : 'relays'} first` : ''} />
				</div>
			) : r.source === 'config' && <p class="help">Regions of files are changed there.</p>}
		</section>
	)
}

export function RelayPage() {
	regions.want()
	relays.want()
	machines.want()
	const list = regionList()
	relays.version.value
	const error = regions.error.value || relays.error.value
	const isLoaded = regions.data.loaded && relays.data.loaded
	const actions = (
		<>
			<Why id="why-add" />
			<Deed why="why-add" class="button" what={{ kind: 'add-region' }}>Add region</Deed>
			<Deed why="why-add" class="button primary" what={{ kind: 'add-relay' }}>Add relay</Deed>
		</>
	)
	return (
		<>
			<PageHead title="Relay" actions={actions} />
			{error && (
				<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => { void regions.fetch(); void relays.fetch() }}>Try again</button>}>
					Could not load the regions. {error}{isLoaded && ' What you see is from before.'}
				</Banner>
			)}
			{isLoaded && list.every(r => r.nodes.length + relaysOf(r.id).length === 0) && (
				<Banner tone="bad">Machines are told of no relay: those that cannot reach each other directly do not reach each other at all.</Banner>
			)}
			{isLoaded ? <div class="sections">{list.map(r => <Card key={r.id} region={r} />)}</div> : !error && <Skeleton noun="regions" />}
			{isLoaded && list.every(r => r.source !== 'api') && (
				<div class="empty">
					<p>Machines far from this server, or many of them, want a relay nearby. A second machine needs the same program and one line.</p>
					<Deed why="why-add" class="button primary" what={{ kind: 'add-relay' }}>Add relay</Deed>
				</div>
			)}
			<RelayDialogs />
		</>
	)
}
