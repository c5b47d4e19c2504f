/** What Stryker loads: the test runner, and the rule about what is left out. */

import { declareClassPlugin, declareFactoryPlugin, PluginKind } from '@stryker-mutator/api/plugin'
import { LeftOut } from './leftOut'
import { createRunner } from './runner'

export const strykerPlugins = [
  declareFactoryPlugin(PluginKind.TestRunner, 'kmem', createRunner),
  declareClassPlugin(PluginKind.Ignore, 'leftOut', LeftOut),
]

/** The options of the runner, so that Stryker knows them. */
export const strykerValidationSchema = { properties: { kmem: { type: 'object' } } }
