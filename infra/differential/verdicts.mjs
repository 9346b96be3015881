// What Apple's own library says of signed data. It reads one JSON object a line,
//   {name, kind, token, environment, bundleId, appAppleId, root}
// and answers {name, status, read} a line: status is a VerificationStatus by name, read what
// the library made of an accepted payload. The first line is {now}, in milliseconds since
// 1970: the day on which the verdict is asked, so that it is the same on every day.
// Nothing of the library is replaced; only the clock under it is.
import { createInterface } from 'node:readline'
import { mock } from 'node:test'
import { SignedDataVerifier, VerificationException, VerificationStatus } from '@apple/app-store-server-library'

const verifiers = new Map()

// verifierFor is bound to one environment, as the library's are, and asks nobody (online
// checks off).
function verifierFor({ environment, bundleId, appAppleId, root }) {
  const key = JSON.stringify([environment, bundleId, appAppleId, root])
  if (!verifiers.has(key)) {
    verifiers.set(key, new SignedDataVerifier([Buffer.from(root, 'base64')], false, environment, bundleId, appAppleId))
  }
  return verifiers.get(key)
}

async function decode(verifier, kind, token) {
  switch (kind) {
    case 'transaction':
      return verifier.verifyAndDecodeTransaction(token)
    case 'renewal':
      return verifier.verifyAndDecodeRenewalInfo(token)
    case 'appTransaction':
      return verifier.verifyAndDecodeAppTransaction(token)
    case 'notification': {
      const notification = await verifier.verifyAndDecodeNotification(token)
      // The library leaves the signed parts to its caller, who passes them on as
      // its documentation says: each is verified by itself.
      const { signedTransactionInfo, signedRenewalInfo } = notification.data ?? {}
      if (signedTransactionInfo !== undefined) await verifier.verifyAndDecodeTransaction(signedTransactionInfo)
      if (signedRenewalInfo !== undefined) await verifier.verifyAndDecodeRenewalInfo(signedRenewalInfo)
      const { signedAppTransactionInfo } = notification.appData ?? {}
      if (signedAppTransactionInfo !== undefined) await verifier.verifyAndDecodeAppTransaction(signedAppTransactionInfo)
      return notification
    }
  }
  throw new Error(`kind ${kind} is not known here`)
}

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity })[Symbol.asyncIterator]()
const { now } = JSON.parse((await lines.next()).value)
mock.timers.enable({ apis: ['Date'], now })

for await (const line of lines) {
  const sample = JSON.parse(line)
  const verifier = verifierFor(sample) // what is wrong with this is no verdict, and ends the run
  const answer = { name: sample.name, status: VerificationStatus[VerificationStatus.OK] }
  try {
    answer.read = await decode(verifier, sample.kind, sample.token)
  } catch (error) {
    if (!(error instanceof VerificationException)) throw error
    answer.status = VerificationStatus[error.status]
  }
  if (!process.stdout.write(JSON.stringify(answer) + '\n')) {
    await new Promise((resolve) => process.stdout.once('drain', resolve))
  }
}
