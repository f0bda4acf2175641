// K3s clusters: which ranges belong to which, what claims them twice, and the lines that start one.
import { signal } from '@preact/signals'
import { useEffect, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { cidrs, cidrsComplaint, clusterNameComplaint, conflictSentence, type Cluster, type ClusterLines, type MadeCluster } from '../lib/clusters'
import { plural } from '../lib/format'
import { toast } from '../notices'
import { clusterKey, clusterLines, clusters, clustersError, createCluster, deleteCluster, fetchClusters, watchClusters, whyNot } from '../state'
import { Act, Banner, Fact, Field, Line, Shape, Skeleton, Tags, Time } from '../ui/basics'
import { Confirm, Dialog } from '../ui/dialog'
import { SecretDialog } from '../ui/secret-dialog'
import { PageHead } from './page-head'

type Asked = { kind: 'create' } | { kind: 'start' | 'delete'; cluster: Cluster }
const asked = signal<Asked | null>(null)
const close = () => { asked.value = null }

const Codes = ({ list, none }: { list: string[]; none: string }) =>
	list.length ? <>{list.map((c, i) => <span key={c}>{i > 0 && ' '}<code>{c}</code></span>)}</> : <span class="muted">{none}</span>

function Lines({ lines }: { lines: ClusterLines }) {
	return (
		<>
			<h3>With K3s's own integration</h3>
			<Line title="Server" text={lines.vpnAuthServer} />
			<Line title="Agents" text={lines.vpnAuthAgent} />
			<h3>Or with flannel over tailscale0</h3>
			<Line title="Server by flannel" text={lines.flannelServer} />
			<Line title="Agents by flannel" text={lines.flannelAgent} />
			<p class="help">
				<code>SERVER-IP</code> is what <code>tailscale ip -4</code> says on the first server, <code>TOKEN</code> the content of{' '}
				<code>/var/lib/rancher/k3s/server/node-token</code> there.
			</p>
		</>
	)
}

// Lines with a key that is shown once.
function Made({ made, title }: { made: MadeCluster; title: string }) {
	return (
		<SecretDialog title={title} onClose={close}>
			<p>Its auth key is in these lines. It is shown only now, and good for any number of the cluster's machines.</p>
			<Line title="Key" text={made.key} button="Copy key" />
			<Lines lines={made.lines} />
		</SecretDialog>
	)
}

function Create() {
	const [made, setMade] = useState<MadeCluster | null>(null)
	const [name, setName] = useState('')
	const [pods, setPods] = useState('')
	const [services, setServices] = useState('')
	const [lan, setLan] = useState('')
	const [dualStack, setDualStack] = useState(false)
	const [complaints, setComplaints] = useState<Record<string, string>>({})
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const form = useRef<HTMLFormElement>(null)
	if (made) return <Made made={made} title={`Cluster ${made.name} created`} />
	const submit = async (e: Event) => {
		e.preventDefault()
		const wrong = {
			name: clusterNameComplaint(name.trim()), pods: cidrsComplaint(pods, 2), services: cidrsComplaint(services, 2), lan: cidrsComplaint(lan, 16),
		}
		setComplaints(wrong)
		const first = Object.entries(wrong).find(([, text]) => text)
		if (first) {
			form.current?.querySelector<HTMLInputElement>(`input[name=${first[0]}]`)?.focus()
			return
		}
		setWorking(true)
		setError('')
		try {
			setMade(await createCluster({
				name: name.trim(), dualStack, ...(pods.trim() ? { podCIDRs: cidrs(pods) } : {}), ...(services.trim() ? { serviceCIDRs: cidrs(services) } : {}),
				...(lan.trim() ? { lanPrefixes: cidrs(lan) } : {}),
			}))
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
		}
	}
	const field = (label: string, id: string, help: string, value: string, set: (v: string) => void) => (
		<Field label={label} help={help} error={complaints[id]}>
			{props => (
				<input
					{...props} name={id} type="text" autocomplete="off" autocapitalize="off" spellcheck={false} value={value}
					onInput={e => { set(e.currentTarget.value); setError('') }}
				/>
			)}
		</Field>
	)
	return (
		<Dialog title="Create cluster" onClose={close} wide>
			<form ref={form} onSubmit={submit} noValidate>
				{field('Name', 'name', `Its machines get the tag ${name.trim() && !clusterNameComplaint(name.trim()) ? `tag:k3s-${name.trim()}` : 'tag:k3s-NAME'}.`, name, setName)}
				{field('Pods', 'pods', 'Empty: the next range that nobody claims, 10.42.0.0/16 for the first cluster.', pods, setPods)}
				{field('Services', 'services', 'Empty: the next range that nobody claims.', services, setServices)}
				{field('Networks', 'lan', 'Where its machines stand or lead to, such as 192.168.7.0/24; only to find what overlaps.', lan, setLan)}
				<label class="check">
					<input type="checkbox" checked={dualStack} onChange={e => setDualStack(e.currentTarget.checked)} />
					<span>Dual stack<span class="help">Ranges of IPv6 too.</span></span>
				</label>
				<p class="help">Makes an auth key, and adds to the policy what the cluster needs: its tag, its routes approved by themselves and, where there are rules, one for itself.</p>
				{error && <Banner tone="bad" alert>{error}</Banner>}
				<div class="dialog-actions">
					<button type="button" class="button" onClick={close}>Cancel</button>
					<button type="submit" class="button primary" disabled={working}>{working ? 'Creating…' : 'Create cluster'}</button>
				</div>
			</form>
		</Dialog>
	)
}

function Start({ cluster }: { cluster: Cluster }) {
	const [lines, setLines] = useState<ClusterLines | null>(null)
	const [made, setMade] = useState<MadeCluster | null>(null)
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const why = whyNot('change')
	useEffect(() => {
		clusterLines(cluster.name).then(m => setLines(m.lines), e => setError(messageOf(e)))
	}, [])
	if (made) return <Made made={made} title={`Key for ${cluster.name} created`} />
	const makeKey = async () => {
		setWorking(true)
		setError('')
		try {
			setMade(await clusterKey(cluster.name))
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
		}
	}
	return (
		<Dialog title={`Start machines of ${cluster.name}`} onClose={close} wide>
			<p><code>KEY</code> is the auth key that was shown when it was made. It is not kept: another one can be made here.</p>
			{lines && <Lines lines={lines} />}
			{error && <Banner tone="bad" alert>{error}</Banner>}
			<div class="dialog-actions">
				{why && <span class="why" id="cluster-key-why">{why} to make a key</span>}
				<button type="button" class="button" disabled={!!why || working} aria-describedby={why ? 'cluster-key-why' : undefined} onClick={() => void makeKey()}>
					{working ? 'Creating…' : 'Create another key'}
				</button>
				<button type="button" class="button primary" onClick={close}>Close</button>
			</div>
		</Dialog>
	)
}

function Delete({ cluster: c }: { cluster: Cluster }) {
	return (
		<Confirm
			title={`Delete cluster ${c.name}?`} button={`Delete ${c.name}`} type={c.nodes > 0 ? c.name : null} onClose={close}
			sentences={[
				'Its auth keys are revoked, and what was added to the policy for it is taken out: its pods reach each other no longer through the tailnet.',
				c.nodes > 0 ? `${plural(c.nodes, 'machine')} with its tag ${c.nodes === 1 ? 'stays' : 'stay'}.` : 'It has no machines.',
			]}
			onConfirm={async () => { await deleteCluster(c.name, c.nodes > 0); toast(`Cluster ${c.name} is deleted.`) }}
		/>
	)
}

function Card({ c, isInConflict }: { c: Cluster; isInConflict: boolean }) {
	const id = `cluster-${c.tag.replace(/\W/g, '-')}`
	return (
		<section aria-labelledby={id}>
			<h2 id={id}>{c.name} {isInConflict && <span class="status bad"><Shape name="cross" /> Conflict</span>}</h2>
			<dl>
				<Fact name="Tag"><Tags tags={[c.tag]} /></Fact>
				<Fact name="Pods"><Codes list={c.pods} none={c.recorded ? 'None' : 'Not recorded'} /></Fact>
				<Fact name="Services"><Codes list={c.services} none={c.recorded ? 'None' : 'Not recorded'} /></Fact>
				{c.lan.length > 0 && <Fact name="Networks"><Codes list={c.lan} none="" /></Fact>}
				<Fact name="Routes">{c.routes.length > 8 ? <><Codes list={c.routes.slice(0, 8)} none="" /> <span class="muted">and {c.routes.length - 8} more</span></> : <Codes list={c.routes} none="None advertised" />}</Fact>
				<Fact name="Machines">
					{c.nodes ? <a href={`/machines?q=${encodeURIComponent(c.tag)}`}>{plural(c.nodes, 'machine')}</a> : <span class="muted">None yet</span>}
					{c.nodes > 0 && `, ${c.online} online`}
				</Fact>
				{c.recorded && <Fact name="Created"><Time at={c.created} past /></Fact>}
			</dl>
			{c.recorded ? (
				<div class="dialog-actions">
					<button type="button" class="button" onClick={() => { asked.value = { kind: 'start', cluster: c } }}>Start machines…<span class="sr"> {c.name}</span></button>
					<Act class="button danger-text" onClick={() => { asked.value = { kind: 'delete', cluster: c } }}>Delete…<span class="sr"> {c.name}</span></Act>
				</div>
			) : <p class="help">Known by the tag of its machines. <code>fairlead clusters create NAME --tag {c.tag} --pod-cidr …</code> records it.</p>}
		</section>
	)
}

function Dialogs() {
	const open = asked.value
	if (!open) return null
	if (open.kind === 'create') return <Create />
	return open.kind === 'start' ? <Start cluster={open.cluster} /> : <Delete cluster={open.cluster} />
}

export function ClustersPage() {
	useEffect(watchClusters, [])
	const all = clusters.value
	const create = <Act class="button primary" onClick={() => { asked.value = { kind: 'create' } }}>Create cluster</Act>
	const inConflict = new Set(all?.conflicts.flatMap(c => c.clusters))
	return (
		<>
			<PageHead title="Clusters" actions={create} />
			{clustersError.value && (
				<Banner tone="bad" alert action={<button type="button" class="button" onClick={() => void fetchClusters()}>Try again</button>}>
					Could not load the clusters. {clustersError.value}{all && ' What you see is from before.'}
				</Banner>
			)}
			{all?.conflicts.map(c => (
				<Banner key={c.clusters.join()} tone="bad" action={c.nodes[0] && <a class="button" href={`/machines/${c.nodes[0].id}`}>Show {c.nodes[0].name}</a>}>
					{conflictSentence(c)} Traffic for these addresses reaches only one of them: give one another range.
				</Banner>
			))}
			{!all ? !clustersError.value && <Skeleton noun="clusters" /> : all.list.length ? (
				<div class="sections">{all.list.map(c => <Card key={c.tag} c={c} isInConflict={inConflict.has(c.name)} />)}</div>
			) : (
				<div class="empty">
					<p>A K3s cluster whose machines are in this tailnet gets ranges of its own, a key, its place in the policy, and the lines that start it.</p>
					{create}
				</div>
			)}
			<Dialogs />
		</>
	)
}
