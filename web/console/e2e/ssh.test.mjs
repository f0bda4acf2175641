// SSH logins that wait for approval, as the console shows them. The checks are made up here: real ones are tests/scenario/ssh_test.go's.
import { after, before, test } from 'node:test'
import { assert, checkAccessibility, launch, signedIn, startServer } from './harness.mjs'

let server, browser
before(async () => {
	server = await startServer()
	browser = await launch()
})
after(async () => {
	await browser?.close()
	await server?.end()
})

const check = (id, source, more) => ({
	id, url: `https://x/ssh/check/${id}`, source: { id: '1', name: source, user: 'ann', userId: '1', tags: [], addresses: [] },
	destination: { id: '2', name: 'db', user: 'ann', userId: '1', tags: ['tag:db'], addresses: [] }, localUser: 'root', checkPeriodSeconds: 43200, waiting: true,
	created: new Date().toISOString(), expires: new Date(Date.now() + 900_000).toISOString(), ...more,
})

test('who wants where stands in the strip; one click decides; what the server refuses is said', async () => {
	const { page, close } = await signedIn(browser, server, { expected: [/status of 404/] })
	const asked = []
	await page.route('**/api/fairlead/v1/ssh-checks', r => r.fulfill({ json: { sshChecks: [check('aaa', 'pad'), check('bbb', 'phone', { localUser: 'deploy', checkPeriodSeconds: 0 })] } }))
	await page.route('**/api/fairlead/v1/ssh-checks/*/*', r => {
		asked.push(new URL(r.request().url()).pathname)
		return r.request().url().includes('/bbb/') ? r.fulfill({ status: 404, json: { message: 'no SSH login waits', status: 404 } }) : r.fulfill({ json: {} })
	})
	await page.goto(`${server.url}/machines`)
	const strip = page.getByRole('region', { name: '2 SSH logins wait for approval' })
	await strip.waitFor()
	await page.getByRole('link', { name: 'Machines 2 waiting' }).waitFor()
	const row = strip.getByRole('listitem').filter({ hasText: 'pad of ann' })
	await row.getByText('counts for 12 h').waitFor()
	await strip.getByText('for one connection').waitFor()
	await checkAccessibility(page, 'SSH logins that wait')
	await strip.getByRole('button', { name: 'Reject phone of ann at db as deploy' }).click()
	await page.getByText('no SSH login waits').first().waitFor()
	await row.getByRole('button', { name: 'Approve pad of ann at db as root' }).click()
	await page.locator('.toast').filter({ hasText: 'pad gets in at db.' }).waitFor()
	assert.deepEqual(asked, ['/api/fairlead/v1/ssh-checks/bbb/reject', '/api/fairlead/v1/ssh-checks/aaa/approve'])
	await close()
})

test('who may not decide sees them, and why', async () => {
	const { page, close } = await signedIn(browser, server, { flags: ['--role', 'auditor'] })
	await page.route('**/api/fairlead/v1/ssh-checks', r => r.fulfill({ json: { sshChecks: [check('aaa', 'pad')] } }))
	await page.goto(`${server.url}/machines`)
	const strip = page.getByRole('region', { name: '1 SSH login waits for approval' })
	await strip.getByText('Needs admin to decide.').waitFor()
	for (const name of ['Approve', 'Reject']) assert.ok(await strip.getByRole('button', { name: `${name} pad of ann at db as root` }).isDisabled())
	await close()
})
