// Routes of machines: told of, approved with a switch, with one button, by the policy; an auditor looks only.
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { assert, checkAccessibility, checkWidth, joinMachine, launch, signedIn, startServer } from './harness.mjs'

let server, browser
const machines = []
before(async () => {
	server = await startServer()
	browser = await launch()
	machines.push(await joinMachine(server, await server.key(), 'gateway', { routes: '10.1.0.0/24,10.2.0.0/24,0.0.0.0/0,::/0' }))
})
after(async () => {
	await browser?.close()
	await Promise.all(machines.map(m => m.end()))
	await server?.end()
})

const toast = (page, text) => page.locator('.toast').filter({ hasText: text })
const approved = async () => JSON.parse(await server.cli('routes', 'list', 'gateway', '-o', 'json')).routes.filter(r => r.approved).map(r => r.prefix).sort()

describe('routes', () => {
	test('what waits is told everywhere; a switch approves one, a button all', async () => {
		const { page, close } = await signedIn(browser, server)
		await page.locator('.warning').filter({ hasText: '1 machine advertises routes that wait for approval' }).getByRole('link').click()
		await page.getByText('3 routes to approve').first().waitFor()
		assert.equal(await page.locator('nav .badge').textContent(), '1 waiting')
		await page.getByRole('link', { name: 'gateway' }).click()
		const section = page.getByRole('region', { name: /^Routes/ })
		await section.getByText('0.0.0.0/0 ::/0').waitFor()
		assert.equal(await section.getByText('Waits for approval').count(), 3)
		await checkAccessibility(page, 'routes that wait')
		await section.getByRole('switch', { name: 'Approve 10.1.0.0/24' }).click()
		await toast(page, 'gateway may route 10.1.0.0/24').waitFor()
		await section.getByText('In use').waitFor()
		assert.deepEqual(await approved(), ['10.1.0.0/24'])
		assert.ok(await section.getByRole('switch', { name: 'Approve 10.1.0.0/24' }).isChecked())
		await section.getByRole('switch', { name: 'Approve Exit node' }).focus()
		await page.keyboard.press('Space')
		await section.getByText('Offered').waitFor()
		await page.getByText('1 route to approve.').first().waitFor()
		assert.deepEqual(await approved(), ['0.0.0.0/0', '10.1.0.0/24', '::/0'])
		// Taken back after ten seconds, in which Undo and the switch keep it.
		const exit = section.getByRole('switch', { name: 'Approve Exit node' })
		await exit.click()
		await toast(page, 'gateway loses Exit node').getByRole('button', { name: 'Undo' }).click()
		await toast(page, 'gateway keeps Exit node').waitFor()
		assert.ok(await exit.isChecked())
		await exit.click()
		await section.getByText('Approval ends within').waitFor()
		assert.ok(!await exit.isChecked())
		await checkAccessibility(page, 'an approval that ends')
		await exit.click()
		await section.getByText('Offered').waitFor()
		assert.deepEqual(await approved(), ['0.0.0.0/0', '10.1.0.0/24', '::/0'])
		await exit.click()
		await toast(page, 'gateway may no longer route Exit node').waitFor({ timeout: 14_000 })
		assert.deepEqual(await approved(), ['10.1.0.0/24'])
		await section.getByRole('button', { name: 'Approve all 2' }).click()
		await page.getByText('to approve').first().waitFor({ state: 'detached' })
		assert.deepEqual(await approved(), ['0.0.0.0/0', '10.1.0.0/24', '10.2.0.0/24', '::/0'])
		await page.getByText('changed its approved routes').first().waitFor()
		assert.equal(await page.locator('nav .badge').count(), 0)
		await checkAccessibility(page, 'approved routes')
		await page.setViewportSize({ width: 360, height: 800 })
		await checkWidth(page, 'routes')
		await close()
	})

	test('changed elsewhere it changes here; what the policy approves is told', async () => {
		const { page, close } = await signedIn(browser, server)
		await page.goto(`${server.url}/machines/1`)
		const section = page.getByRole('region', { name: /^Routes/ })
		await section.getByText('In use').first().waitFor()
		const file = path.join(tmpdir(), `routes-${process.pid}.hujson`)
		await writeFile(file, '{"autoApprovers": {"routes": {"10.2.0.0/16": ["autogroup:member"]}}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}')
		await server.cli('policy', 'set', file)
		await server.cli('routes', 'unapprove', 'gateway', '10.1.0.0/24')
		await section.getByText('Waits for approval').waitFor()
		await page.getByRole('button', { name: 'Approve routes' }).click()
		await toast(page, 'gateway may route 10.1.0.0/24').waitFor()
		await page.reload()
		await section.getByText('approved by the policy').waitFor()
		await section.getByRole('switch', { name: 'Approve 10.2.0.0/24' }).click()
		await page.getByText('Approval ends within').waitFor()
		assert.ok((await approved()).includes('10.2.0.0/24'))
		await toast(page, 'The policy approves it by itself').waitFor({ timeout: 14_000 })
		await close()
	})

	test('an auditor sees them and changes nothing', async () => {
		const { page, close } = await signedIn(browser, server, { flags: ['--role', 'auditor'] })
		await page.goto(`${server.url}/machines/1`)
		const section = page.getByRole('region', { name: /^Routes/ })
		await section.getByText('In use').first().waitFor()
		assert.ok(await section.getByRole('switch', { name: 'Approve 10.1.0.0/24' }).isDisabled())
		await close()
	})
})
