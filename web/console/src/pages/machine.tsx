// One machine.
import { plural } from '../lib/format'
import { shortVersion } from '../lib/compare'
import { attention, machineStatus, osName, type Machine } from '../lib/model'
import { navigate } from '../router'
import { keys, machines, now, regions } from '../state'
import { Act, Banner, Copy, Fact, Skeleton, StatusWord, Tags, Time } from '../ui/basics'
import { MenuButton } from '../ui/menu'
import { approve, ask, machineMenu } from './machine-dialogs'
import { approveRoutes, Routes } from './routes'
import { Changes } from './changes'
import { PageHead } from './page-head'

const Value = ({ text, label }: { text: string; label: string }) => (
	<span class="with-copy"><code>{text}</code><Copy text={text} label={label} /></span>
)

function JoinedWith({ machine }: { machine: Machine }) {
	if (!machine.keyId) return null
	const key = keys.data.find(machine.keyId)
	return <> with key {key?.description ? `"${key.description}"` : <code>{machine.keyId}</code>}</>
}

function HomeRegion({ id }: { id: string }) {
	regions.want()
	regions.version.value
	const name = regions.data.items.get(id)?.name
	return <a href="/relay">{name ? `${name} (region ${id})` : `region ${id}`}</a>
}

function Details({ m }: { m: Machine }) {
	const gone = m.deletedBy !== undefined
	return (
		<div class="sections">
			<section aria-labelledby="addresses">
				<h2 id="addresses">Addresses</h2>
				<dl>
					{m.addresses.map(a => <Fact key={a} name={a.includes(':') ? 'IPv6' : 'IPv4'}><Value text={a} label={`Copy ${a}`} /></Fact>)}
					{m.fqdn && <Fact name="Name"><Value text={m.fqdn} label={`Copy ${m.fqdn}`} /></Fact>}
				</dl>
			</section>
			<section aria-labelledby="identity">
				<h2 id="identity">Identity</h2>
				<dl>
					<Fact name="Owner">{m.tags.length ? <Tags tags={m.tags} /> : m.user}</Fact>
					<Fact name="Joined"><Time at={m.created} never="Unknown" /><JoinedWith machine={m} /></Fact>
					<Fact name="Key expires"><Time at={m.keyExpires} never={m.tags.length ? 'Never (tagged)' : 'Never'} full /></Fact>
					<Fact name="Kind">{m.ephemeral ? 'Ephemeral: removed after going offline' : 'Stays until it is deleted'}</Fact>
				</dl>
			</section>
			<section aria-labelledby="client">
				<h2 id="client">Client</h2>
				<dl>
					<Fact name="Calls itself">{m.hostname || '–'}</Fact>
					<Fact name="System">{osName(m.os) || '–'}</Fact>
					<Fact name="Version"><span title={m.version}>{shortVersion(m.version) || '–'}</span></Fact>
					<Fact name="Last seen">{m.online && !gone ? 'now' : <Time at={m.lastSeen} full />}</Fact>
				</dl>
			</section>
			<section aria-labelledby="path">
				<h2 id="path">Path</h2>
				<dl>
					<Fact name="Home relay">{m.homeDerp ? <HomeRegion id={String(m.homeDerp)} /> : 'None yet'}</Fact>
					<Fact name="Endpoints">
						{m.endpoints.length ? (
							<details>
								<summary>{plural(m.endpoints.length, 'address', 'addresses')} where it may be reached directly</summary>
								<ul class="plain">{m.endpoints.map(e => <li key={e}><code>{e}</code></li>)}</ul>
							</details>
						) : 'None reported: it is reached through the relay'}
					</Fact>
					<Fact name="Keys">
						<details>
							<summary>Public keys</summary>
							<ul class="plain"><li><code class="wrap">{m.nodeKey}</code></li><li><code class="wrap">{m.machineKey}</code></li></ul>
						</details>
					</Fact>
				</dl>
			</section>
			<Routes m={m} />
			<section aria-labelledby="changes" class="full">
				<h2 id="changes">Changes</h2>
				<Changes of={`node ${m.id}`} limit={20} trigger={`${m.name} ${m.tags} ${m.authorized} ${m.keyExpires} ${m.routes.map(r => `${r.prefix}${r.approved}`)} ${gone}`} />
			</section>
		</div>
	)
}

export function MachinePage({ id }: { id: string }) {
	machines.want()
	keys.want()
	machines.version.value
	keys.version.value
	const m = machines.data.find(id)
	const back = <a class="back" href="/machines">Machines</a>
	if (!m) {
		return (
			<>
				<PageHead title={machines.data.loaded ? 'No such machine' : 'Machine'} before={back} />
				{machines.error.value && <Banner tone="bad" alert action={<button type="button" class="button" onClick={() => machines.refetch()}>Try again</button>}>Could not load the machine. {machines.error.value}</Banner>}
				{machines.data.loaded
					? <div class="empty"><p>There is no machine with the number <code>{id}</code>. It may have been deleted.</p><a class="button" href="/machines">All machines</a></div>
					: !machines.error.value && <Skeleton noun="the machine" />}
			</>
		)
	}
	const gone = m.deletedBy !== undefined
	const menu = () => machineMenu(m).filter(i => i.label !== 'Approve' && i.label !== 'Rename…' && i.label !== 'Edit tags…')
		.map(i => (i.label === 'Delete…' ? { ...i, run: () => ask('delete', [m.id], () => navigate('/machines')) } : i))
	return (
		<>
			<PageHead
				title={m.name} documentTitle={`${m.name} · Machines`} before={back}
				actions={!gone && (
					<>
						<Act onClick={() => ask('rename', [m.id])}>Rename</Act>
						<Act onClick={() => ask('tags', [m.id])}>Tags</Act>
						<MenuButton owner="more" label={`More actions for ${m.name}`} items={menu} class="button">More ▾</MenuButton>
					</>
				)}
			>
				<p class="under-title"><StatusWord status={machineStatus(m, now.value)} /></p>
			</PageHead>
			{attention(m, now.value).map(a => (
				<Banner
					key={a.kind} tone={a.kind === 'expired' ? 'bad' : 'warn'}
					action={a.kind === 'pending' ? <Act onClick={() => void approve([m.id])}>Approve</Act>
						: a.kind === 'routes' && <Act right="routes" onClick={() => void approveRoutes(m)}>Approve routes</Act>}
				>
					{a.kind === 'pending' ? 'It waits for approval and reaches nobody until then.'
						: a.kind === 'routes' ? `${a.text}. Other machines do not use what it advertises until then.`
						: a.kind === 'expired' ? 'Its key has expired. It has to sign in again, or join with a new auth key.' : `${a.text}. It has to sign in again by then.`}
				</Banner>
			))}
			<Details m={m} />
		</>
	)
}
