import { describe, expect, it } from 'vitest'
import { rateLimit } from '../../src/base/rateLimit'

/** A limit of two messages in five seconds, with a clock that is set by hand. */
function limited() {
  const lines: string[] = []
  const time = { seconds: 100 }
  const pass = rateLimit(
    (line) => lines.push(line),
    () => time.seconds,
    {
      messages: 2,
      seconds: 5,
      caller: 'warn_alloc',
    },
  )
  return { lines, time, pass }
}

describe('rateLimit', () => {
  it('lets so many through within so many seconds', () => {
    const { pass, lines } = limited()
    expect([pass(), pass(), pass(), pass()]).toEqual([true, true, false, false])
    expect(lines).toEqual([])
  })

  it('begins anew when the time is over, not before, and says how many it held back', () => {
    const { pass, lines, time } = limited()
    for (let i = 0; i < 5; i++) pass()
    time.seconds = 105
    expect(pass()).toBe(false)
    expect(lines).toEqual([])
    time.seconds = 105.01
    expect(pass()).toBe(true)
    expect(lines).toEqual(['warn_alloc: 4 callbacks suppressed'])
    expect([pass(), pass()]).toEqual([true, false])
  })

  it('counts the time from the first message, and says nothing when nothing was held back', () => {
    const { pass, lines, time } = limited()
    pass()
    time.seconds = 104
    pass()
    time.seconds = 106
    expect([pass(), pass(), pass()]).toEqual([true, true, false])
    expect(lines).toEqual([])
    time.seconds = 200
    pass()
    expect(lines).toEqual(['warn_alloc: 1 callbacks suppressed'])
    time.seconds = 300
    pass()
    expect(lines).toHaveLength(1)
  })

  it('holds nothing back without a clock', () => {
    const pass = rateLimit(() => expect.fail('nothing is held back'), undefined, {
      messages: 1,
      seconds: 5,
      caller: 'warn_alloc',
    })
    expect([pass(), pass(), pass()]).toEqual([true, true, true])
  })
})
