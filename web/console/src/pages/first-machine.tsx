// The list of machines while there is none: how the first one joins.
import { k3sLine, dockerLine, tailscaleLine } from '../lib/joinline'
import { query, setQuery } from '../router'
import { Act, Line } from '../ui/basics'
import { openCreateKey } from './create-key'

interface Way {
	id: string
	label: string
	before: string
	line?: (server: string, key: string) => string
}

const ways: Way[] = [
	{ id: 'linux', label: 'Linux', before: 'Install Tailscale from your distribution, then type this as root.', line: (s, k) => tailscaleLine(s, k) },
	{ id: 'k3s', label: 'K3s', before: 'Start the first node like this. Put the tags into the key: K3s resets what was set by hand.', line: k3sLine },
	{ id: 'docker', label: 'Docker', before: 'A container that joins by itself.', line: dockerLine },
	{ id: 'desktop', label: 'macOS, Windows', before: 'Install the Tailscale app, then type this in a terminal.', line: tailscaleLine },
	{ id: 'phone', label: 'Phone', before: 'In the Tailscale app, open Settings, Accounts, "Use an alternate server", and type the address of this server. Then choose "Use an auth key".' },
]

export function FirstMachine({ server }: { server: string }) {
	const at = ways.find(w => w.id === query.value.get('how')) ?? ways[0]!
	const move = (e: KeyboardEvent) => {
		const i = ways.indexOf(at)
		const to = { ArrowRight: (i + 1) % ways.length, ArrowLeft: (i + ways.length - 1) % ways.length, Home: 0, End: ways.length - 1 }[e.key]
		if (to === undefined) return
		e.preventDefault()
		setQuery({ how: ways[to]!.id })
		requestAnimationFrame(() => document.getElementById(`tab-${ways[to]!.id}`)?.focus())
	}
	return (
		<section class="teach" aria-labelledby="teach">
			<h2 id="teach">No machine yet</h2>
			<p class="lead">A machine joins with an auth key. It appears here by itself.</p>
			<ol class="steps">
				<li>
					<h3>Create a key</h3>
					<Act class="button primary" right="make-keys" onClick={openCreateKey}>Create key</Act>
				</li>
				<li>
					<h3>Use it on the machine</h3>
					<div role="tablist" aria-label="Kind of machine" class="tabs">
						{ways.map(w => (
							<button
								key={w.id} id={`tab-${w.id}`} type="button" role="tab" aria-selected={w === at} aria-controls="panel"
								tabIndex={w === at ? 0 : -1} onClick={() => setQuery({ how: w.id })} onKeyDown={move}
							>
								{w.label}
							</button>
						))}
					</div>
					<div role="tabpanel" id="panel" aria-labelledby={`tab-${at.id}`} tabIndex={0}>
						<p>{at.before}</p>
						<Line title={at.line ? `${at.label}, with your key for KEY` : 'Address of this server'} text={at.line ? at.line(server, 'KEY') : server} />
					</div>
				</li>
			</ol>
			<p class="muted after-steps">
				Or without a key: <code>tailscale up --login-server={server}</code> shows an address, and the device waits on this page until somebody approves it.
			</p>
		</section>
	)
}
