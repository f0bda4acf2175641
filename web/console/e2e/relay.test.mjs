// The relay: regions and relays that run already, by the page; a relay on another machine from its line to its removal.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { assert, checkAccessibility, checkWidth, joinMachine, launch, signedIn, startRelay, startServer } from './harness.mjs'

let server, browser
const ends = []
before(async () => {
	const dir = await mkdtemp(path.join(tmpdir(), 'regions-'))
	ends.push(() => rm(dir, { recursive: true }))
	await writeFile(path.join(dir, 'derp.json'), JSON.stringify({
		regions: { 901: { regionid: 901, regioncode: 'far', regionname: 'Far Away', nodes: [{ name: '901a', regionid: 901, hostname: 'derp.example.org' }] } },
	}))
	server = await startServer({ flags: ['--derp-paths', path.join(dir, 'derp.json')] })
	browser = await launch()
})
after(async () => {
	await browser?.close()
	for (const end of ends.reverse()) await end()
	await server?.end()
})

const card = (page, name) => page.locator('.sections section').filter({ has: page.getByRole('heading', { name, exact: true }) })
const toast = (page, text) => page.locator('.toast').filter({ hasText: text })
const regions = async s => JSON.parse(await s.cli('regions', 'list', '-o', 'json')).regions
const region = async (s, code) => (await regions(s)).find(r => r.code === code)
const row = (page, text) => page.locator('li.relay').filter({ hasText: text })

// In both themes; leaves the light one.
async function check(page, what) {
	for (const theme of ['dark', 'light']) {
		await page.evaluate(t => { document.documentElement.dataset.theme = t }, theme)
		await checkAccessibility(page, `${what}, ${theme}`)
	}
	if (process.env.SHOTS) {
		for (const [theme, width] of [['light', 1280], ['dark', 1280], ['light', 360]]) {
			await page.setViewportSize({ width, height: 800 })
			await page.evaluate(t => { document.documentElement.dataset.theme = t }, theme)
			await page.screenshot({ path: `${process.env.SHOTS}/${what.replaceAll(' ', '-')}-${theme}-${width}.png`, fullPage: true })
		}
	}
	await page.setViewportSize({ width: 360, height: 800 })
	await checkWidth(page, what)
	await page.setViewportSize({ width: 1280, height: 800 })
	await page.evaluate(() => { delete document.documentElement.dataset.theme })
}

describe('relay', () => {
	test('a region is added with a relay that runs already, changed, given another, and removed', async () => {
		const { page, close } = await signedIn(browser, server, { expected: [/status of 409/] })
		await page.getByRole('link', { name: 'Relay', exact: true }).click()
		await page.getByText('want a relay nearby').waitFor()
		await card(page, 'Fairlead').getByText('In this server').waitFor()
		await card(page, 'Far Away').getByText('A file of derp.paths').waitFor()
		await card(page, 'Far Away').getByText('Not watched').waitFor()
		for (const name of ['Fairlead', 'Far Away']) assert.equal(await card(page, name).getByRole('button').count(), 0)
		await check(page, 'the relay alone')

		await page.getByRole('button', { name: 'Add region' }).click()
		const dialog = page.getByRole('dialog')
		await dialog.getByRole('button', { name: 'Add region' }).click()
		await dialog.getByText('Type a code.').waitFor()
		assert.equal(await page.evaluate(() => document.activeElement.name), 'code')
		await dialog.getByLabel('Code').fill('tokyo')
		await dialog.getByLabel('Host').fill('derp_x')
		await dialog.getByText('Addresses, STUN and certificate').click()
		await dialog.getByLabel('STUN port').fill('99999')
		await dialog.getByRole('button', { name: 'Add region' }).click()
		await dialog.getByText('"derp_x" is no host').waitFor()
		await dialog.getByText('A port from 1 to 65535, or off').waitFor()
		assert.equal(await page.evaluate(() => document.activeElement.name), 'host-0')
		await check(page, 'adding a region')
		await dialog.getByLabel('Host').fill('derp.example.net:8443')
		assert.equal(await dialog.getByText('is no host').count(), 0)
		await dialog.getByLabel('STUN port').fill('off')
		await dialog.getByRole('button', { name: 'Another relay' }).click()
		await dialog.getByLabel('Host').nth(1).fill('192.0.2.9')
		await dialog.getByRole('button', { name: 'Add region' }).click()
		await toast(page, 'Region tokyo is there').waitFor()
		await card(page, 'tokyo').getByRole('code').filter({ hasText: 'derp.example.net:8443' }).waitFor()
		await row(page, 'derp.example.net:8443').getByText('no STUN').waitFor()
		const made = await region(server, 'tokyo')
		assert.deepEqual(made.nodes.map(n => [n.hostname, n.derpPort, n.stunPort]), [['derp.example.net', 8443, -1], ['192.0.2.9', 443, 3478]])

		await page.getByRole('button', { name: 'Add region' }).click()
		await dialog.getByLabel('Code').fill('tokyo')
		await dialog.getByRole('button', { name: 'Add region' }).click()
		await dialog.getByRole('alert').filter({ hasText: 'has the code tokyo already' }).waitFor()
		await page.keyboard.press('Escape')

		await card(page, 'tokyo').getByRole('button', { name: 'Change names… of tokyo' }).click()
		await dialog.getByLabel('Name').fill('Tokyo, south')
		await server.cli('regions', 'set', made.id, '--code', 'tyo')
		await dialog.getByText('It was changed meanwhile: tokyo (tyo)').waitFor()
		await dialog.getByRole('button', { name: 'Save names' }).click()
		await card(page, 'Tokyo, south').waitFor()
		assert.deepEqual([(await region(server, 'tyo')).name], ['Tokyo, south'])

		// Others add nodes by command: what is removed here is removed from what there is by then.
		await card(page, 'Tokyo, south').getByRole('button', { name: 'Add running relay… to Tokyo, south' }).click()
		await dialog.getByLabel('Host').fill('192.0.2.10')
		await check(page, 'adding a running relay')
		await dialog.getByRole('button', { name: 'Add relay' }).click()
		await row(page, '192.0.2.10').waitFor()
		await server.cli('regions', 'add-node', made.id, '192.0.2.11')
		await row(page, '192.0.2.11').waitFor()
		await row(page, '192.0.2.9').getByRole('button', { name: 'Remove… 192.0.2.9' }).click()
		await dialog.getByText('The region has others.').waitFor()
		await dialog.getByRole('button', { name: /^Remove / }).click()
		await toast(page, '192.0.2.9 is removed from Tokyo, south').waitFor()
		assert.deepEqual((await region(server, 'tyo')).nodes.map(n => n.hostname), ['derp.example.net', '192.0.2.10', '192.0.2.11'])
		await check(page, 'regions')

		await card(page, 'Tokyo, south').getByRole('button', { name: 'Remove region… Tokyo, south' }).click()
		await dialog.getByText('its 3 relays').waitFor()
		await dialog.getByText('No machine has its home there.').waitFor()
		await dialog.getByRole('button', { name: 'Remove Tokyo, south' }).click()
		await card(page, 'Tokyo, south').waitFor({ state: 'detached' })
		assert.deepEqual((await regions(server)).map(r => r.source), ['own', 'config'])
		await server.cli('regions', 'add', 'here', '--name', 'Made elsewhere')
		await card(page, 'Made elsewhere').getByText('It has no relay yet').waitFor()
		await server.cli('regions', 'remove', '1')
		await card(page, 'Made elsewhere').waitFor({ state: 'detached' })
		await close()
	})

	test('a region that machines have as home says how many, and is typed to remove it', async () => {
		const other = await startServer({ flags: ['--derp-verify-clients=false'] })
		ends.push(() => other.end())
		const bare = await startServer({ flags: ['--derp-enabled=false'] })
		ends.push(() => bare.end())
		const pin = (await regions(other))[0].nodes[0].certName
		const { page, close } = await signedIn(browser, bare)
		await page.goto(`${bare.url}/relay`)
		await page.getByText('Machines are told of no relay').waitFor()
		await page.getByRole('button', { name: 'Add region' }).click()
		const dialog = page.getByRole('dialog')
		await dialog.getByLabel('Code').fill('one')
		await dialog.getByLabel('Host').fill(`127.0.0.1:${other.https}`)
		await dialog.getByText('Addresses, STUN and certificate').click()
		await dialog.getByLabel('STUN port').fill(String(other.stun))
		await dialog.getByLabel('Certificate').fill(pin)
		await dialog.getByRole('button', { name: 'Add region' }).click()
		await row(page, `127.0.0.1:${other.https}`).getByText('pinned certificate').waitFor()
		const machine = await joinMachine(bare, await bare.key(), 'edge-1')
		ends.push(() => machine.end())
		await card(page, 'one').getByText('1 machine, 1 online').waitFor({ timeout: 30_000 })
		await page.goto(`${bare.url}/machines`)
		await page.getByRole('link', { name: 'edge-1' }).click()
		await page.getByRole('link', { name: 'one (region 1)' }).click()
		await card(page, 'one').getByRole('button', { name: 'Remove region… one' }).click()
		await dialog.getByText('1 machine has its home there').waitFor()
		await dialog.getByRole('button', { name: 'Remove one' }).click()
		await dialog.getByText('Type one exactly.').waitFor()
		await check(page, 'removing a region')
		await dialog.getByLabel('Type one to confirm').fill('one')
		await dialog.getByRole('button', { name: 'Remove one' }).click()
		await page.getByText('Machines are told of no relay').waitFor()
		await close()
	})

	test('a relay on another machine: its line once, it comes, it goes, it is removed', async () => {
		const { page, close } = await signedIn(browser, server, { permissions: ['clipboard-read', 'clipboard-write'] })
		await page.goto(`${server.url}/relay`)
		await page.locator('.page-actions').getByRole('button', { name: 'Add relay' }).click()
		const dialog = page.getByRole('dialog')
		await dialog.getByRole('button', { name: 'Add relay' }).click()
		await dialog.getByText('Type a name.').waitFor()
		await dialog.getByLabel('Name').fill('frankfurt')
		assert.equal(await dialog.getByLabel('Code of the region').inputValue(), 'frankfurt')
		await check(page, 'adding a relay')
		await dialog.getByRole('button', { name: 'Add relay' }).click()
		await dialog.getByRole('heading', { name: 'Relay frankfurt added' }).waitFor()
		const line = (await dialog.getByRole('group', { name: 'Start the relay' }).textContent()).trim()
		assert.match(line, /^fairlead relay --coordinator https:\/\/127\.0\.0\.1:\d+ --coordinator-pin sha256-raw:[0-9a-f]{64} --key fl-relay-\S+$/)
		await dialog.getByRole('button', { name: 'Copy line: Start the relay' }).click()
		await dialog.getByRole('button', { name: /Copied/ }).waitFor()
		assert.equal(await page.evaluate(() => navigator.clipboard.readText()), line)
		await dialog.getByText('It shows here when frankfurt comes.').waitFor()
		await check(page, 'the line of a relay')
		await page.keyboard.press('Escape')
		await dialog.getByText('Have you saved the line?').waitFor()
		const relay = await startRelay(line)
		ends.push(() => relay.end())
		await dialog.getByText('frankfurt is here; connected machines have it.').waitFor()
		await dialog.getByRole('button', { name: 'Done' }).click()
		await row(page, 'frankfurt').getByText('Reachable').waitFor()
		await row(page, 'frankfurt').getByText(`127.0.0.1:${relay.https}`).waitFor()
		assert.ok(await card(page, 'frankfurt').getByRole('button', { name: 'Remove region… frankfurt' }).isDisabled())
		await card(page, 'frankfurt').getByText('To remove the region, remove its relay first').waitFor()

		// One more in the same region, which never comes; one that cannot be reached.
		await page.locator('.page-actions').getByRole('button', { name: 'Add relay' }).click()
		await dialog.getByLabel('Name').fill('lost')
		await dialog.getByLabel('Region', { exact: true }).selectOption('frankfurt')
		await dialog.getByRole('button', { name: 'Add relay' }).click()
		await dialog.getByRole('button', { name: 'Done' }).click()
		await dialog.getByRole('button', { name: 'Close without saving' }).click()
		await row(page, 'lost').getByText('Has not come yet').waitFor()
		const bad = JSON.parse(await server.cli('relays', 'add', 'hidden', '--region', 'frankfurt', '-o', 'json'))
		await row(page, 'hidden').getByText('Has not come yet').waitFor()
		const hidden = await startRelay(bad.line, { hostname: '127.0.0.2' })
		ends.push(() => hidden.end())
		await row(page, 'hidden').getByText('Cannot be reached').waitFor()
		await row(page, 'hidden').getByText(/does not answer: .*Clients are not told of it/).waitFor()
		await check(page, 'relays')

		await relay.end()
		// A stream that only reads is known to be over when something is to be sent.
		await row(page, 'frankfurt').getByText('Away').waitFor({ timeout: 40_000 })
		await row(page, 'frankfurt').getByText('Clients still know it').waitFor()
		for (const name of ['frankfurt', 'hidden', 'lost']) {
			await row(page, name).first().getByRole('button', { name: `Remove… ${name}` }).click()
			await dialog.getByText('Its key is void').waitFor()
			await dialog.getByRole('button', { name: `Remove ${name}` }).click()
			await toast(page, `Relay ${name} is removed`).waitFor()
		}
		await hidden.ended
		await card(page, 'frankfurt').getByText('It has no relay yet').waitFor()
		assert.deepEqual(JSON.parse(await server.cli('relays', 'list', '-o', 'json')).relays, [])
		await close()
	})

	test('an auditor looks only; a network admin changes', async () => {
		const auditor = await signedIn(browser, server, { flags: ['--role', 'auditor'] })
		await auditor.page.goto(`${server.url}/relay`)
		await card(auditor.page, 'frankfurt').waitFor()
		for (const button of await auditor.page.locator('main button').all()) {
			const name = await button.textContent()
			if (!/Dismiss/.test(name)) assert.ok(await button.isDisabled(), `${name} is not for auditors`)
		}
		await check(auditor.page, 'as an auditor')
		await auditor.close()
		const { page, close } = await signedIn(browser, server, { flags: ['--role', 'network-admin'] })
		await page.goto(`${server.url}/relay`)
		await card(page, 'frankfurt').getByRole('button', { name: 'Remove region… frankfurt' }).click()
		await page.getByRole('dialog').getByRole('button', { name: 'Remove frankfurt' }).click()
		await card(page, 'frankfurt').waitFor({ state: 'detached' })
		await close()
	})
})
