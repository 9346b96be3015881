// What servers of others, unmodified, make of requests. It reads one JSON object,
//   {signed: [{name, secret, now, headers, body}], worlds: [{name, secret, steps: [{name, now, headers, body}], customers}]}
// and answers {signed: [{name, refused}], worlds: [{name, steps: [{name, status, answer, complaints, customers}]}]}.
// signed are verified by standardwebhooks. Each world is a server of its own with
// convex-revenuecat, on the tables that Convex has for tests; its steps are requests to it, in
// order, and customers in an answer is all that it then knows of each of them. now is the
// instant at which a request arrives, in milliseconds since 1970. Nothing of the packages is
// replaced; only the clock under them is.
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { convexTest } from 'convex-test'
import { componentsGeneric, defineSchema, httpRouter } from 'convex/server'
import { RevenueCat } from 'convex-revenuecat'
import { Webhook } from 'standardwebhooks'

let now = Date.now()
Date.now = () => now

// A component is a folder of modules, which Convex's own build would have found.
const root = dirname(fileURLToPath(import.meta.resolve('convex-revenuecat/package.json')))
const folder = join(root, 'dist', 'component')
const modules = Object.fromEntries(
  readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.js'))
    .map((name) => [`./component/${name}`, () => import(pathToFileURL(join(folder, name)))])
)
const { default: schema } = await modules['./component/schema.js']()
const { revenuecat } = componentsGeneric()

function verified({ name, secret, now: at, headers, body }) {
  now = at
  try {
    new Webhook(secret).verify(body, headers)
  } catch (error) {
    return { name, refused: `${error.constructor.name}: ${error.message}` }
  }
  return { name }
}

async function lived({ name, secret, steps, customers }) {
  const router = httpRouter()
  new RevenueCat(revenuecat, { REVENUECAT_WEBHOOK_AUTH: secret }).registerRoutes(router)
  const server = convexTest(defineSchema({}), {
    './convex/_generated/api.js': async () => ({}),
    './convex/http.js': async () => ({ default: router }),
  })
  server.registerComponent('revenuecat', schema, modules)

  const answers = []
  for (const step of steps) {
    now = step.now
    const complaints = []
    for (const level of ['warn', 'error']) {
      console[level] = (...words) => complaints.push(words.join(' '))
    }
    const answer = { name: step.name, status: 500, complaints, customers: {} }
    try {
      const response = await server.fetch('/webhooks/revenuecat', { method: 'POST', headers: step.headers, body: step.body })
      answer.status = response.status
      answer.answer = await response.text()
    } catch (error) {
      answer.answer = String(error) // which Convex answers with 500
    }
    for (const appUserId of customers) {
      const about = (query) => server.query(query, { appUserId })
      answer.customers[appUserId] = {
        customer: await about(revenuecat.customers.get),
        entitlements: await about(revenuecat.entitlements.list),
        subscriptions: await about(revenuecat.subscriptions.getByUser),
        balances: await about(revenuecat.virtualCurrency.listBalances),
        transactions: await about(revenuecat.virtualCurrency.listTransactions),
        events: await about(revenuecat.webhookEvents.listByUser),
        active: {},
      }
      for (const { entitlementId } of answer.customers[appUserId].entitlements) {
        answer.customers[appUserId].active[entitlementId] = await server.query(revenuecat.entitlements.check, { appUserId, entitlementId })
      }
    }
    answers.push(answer)
  }
  return { name, steps: answers }
}

const asked = JSON.parse(await text(process.stdin))
const answer = { signed: asked.signed.map(verified), worlds: [] }
for (const world of asked.worlds) {
  answer.worlds.push(await lived(world))
}
process.stdout.write(JSON.stringify(answer))
