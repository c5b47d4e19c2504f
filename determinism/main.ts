/** Entry of the workload in a Node of any version: prints what all seeds come to, as JSON. */

import { playAll } from './playAll'

console.log(JSON.stringify(playAll()))
