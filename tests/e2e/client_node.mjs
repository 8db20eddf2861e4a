// A program of the JavaScript client: prints what it saw as JSON. Argument: the namespace; CLIENT_NODE: the module.
import stream from 'node:stream';

const k8s = await import(process.env.CLIENT_NODE);
const namespace = process.argv[2];
const told = { informed: [], pages: [] };
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const type = (strategy) => k8s.setHeaderOptions('Content-Type', strategy);

const watch = (path, holds) => new Promise((resolve, reject) => {
  let request;
  const seen = (_, object) => { if (holds(object)) { request?.abort(); resolve(object); } };
  new k8s.Watch(config).watch(path, {}, seen, () => {}).then((made) => { request = made; }, reject);
});

async function configMaps() {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const informer = k8s.makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace }));
  const gone = new Promise((resolve) => {
    for (const verb of ['add', 'update', 'delete']) {
      informer.on(verb, (object) => {
        if (object.metadata.name !== 'c') return;
        told.informed.push(`${verb} c`);
        if (verb === 'delete') resolve();
      });
    }
  });
  informer.on('error', () => {});
  await informer.start();
  const it = { name: 'c', namespace };
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'c' }, data: { a: '1' } } });
  await core.patchNamespacedConfigMap({ ...it, body: [{ op: 'replace', path: '/data/a', value: '2' }] });
  const merge = { data: { b: '3' } };
  await core.patchNamespacedConfigMap({ ...it, body: merge }, type(k8s.PatchStrategy.MergePatch));
  const stale = await core.readNamespacedConfigMap(it);
  const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { c: '4' } };
  const apply = type(k8s.PatchStrategy.ServerSideApply);
  await core.patchNamespacedConfigMap({ ...it, fieldManager: 'js', body: applied }, apply);
  try {
    await core.replaceNamespacedConfigMap({ ...it, body: stale });
  } catch (error) {
    told.conflict = [error.code, JSON.parse(error.body).reason];
  }
  await core.deleteNamespacedConfigMap(it);
  await gone;
  await informer.stop();
}

async function pages() {
  for (const name of ['s0', 's1', 's2']) {
    await core.createNamespacedSecret({ namespace, body: { metadata: { name, labels: { x: 'y' } } } });
  }
  let _continue;
  do {
    const page = await core.listNamespacedSecret({ namespace, limit: 2, _continue, labelSelector: 'x=y' });
    told.pages.push(...page.items.map((one) => one.metadata.name));
    _continue = page.metadata._continue;
  } while (_continue);
  await core.deleteCollectionNamespacedSecret({ namespace, labelSelector: 'x=y' });
}

async function workload() {
  const labels = { app: 'd' };
  const container = { name: 'm', image: 'demo:1', command: ['/bin/busybox', 'sleep', '3600'] };
  const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [container] } };
  const spec = { replicas: 1, selector: { matchLabels: labels }, template };
  await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'd' }, spec } });
  const scale = { name: 'd', namespace, body: { spec: { replicas: 2 } } };
  await apps.patchNamespacedDeploymentScale(scale, type(k8s.PatchStrategy.MergePatch));
  await watch(`/apis/apps/v1/namespaces/${namespace}/deployments`, (one) => one.status?.readyReplicas === 2);
  const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=d' });
  const sink = () => new stream.Writable({ write(chunk, _, done) { this.text = (this.text ?? '') + chunk; done(); } });
  const [out, err] = [sink(), sink()];
  const command = ['/bin/busybox', 'sh', '-c', 'read x; echo out $x; echo err >&2; exit 3'];
  const input = stream.Readable.from(['hello\n']);
  const name = pods.items[0].metadata.name;
  const status = await new Promise((resolve) => {
    new k8s.Exec(config).exec(namespace, name, 'm', command, out, err, input, false, resolve);
  });
  told.exec = [out.text, err.text, status.reason];
}

async function customKind() {
  const definitions = config.makeApiClient(k8s.ApiextensionsV1Api);
  const custom = config.makeApiClient(k8s.CustomObjectsApi);
  const [group, version, plural] = [`${namespace}.example.com`, 'v1', 'foos'];
  const object = (properties) => ({ type: 'object', properties });
  const openAPIV3Schema = object({
    spec: object({ n: { type: 'integer', minimum: 1 } }),
    status: object({ p: { type: 'string' } }),
  });
  const served = { name: version, served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema } };
  const spec = { group, scope: 'Namespaced', names: { plural, kind: 'Foo' }, versions: [served] };
  const definition = `${plural}.${group}`;
  await definitions.createCustomResourceDefinition({ body: { metadata: { name: definition }, spec } });
  const established = (one) => one.metadata.name === definition
    && (one.status?.conditions ?? []).some((c) => c.type === 'Established' && c.status === 'True');
  await watch('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', established);
  const where = { group, version, namespace, plural };
  const foo = (name, n) => ({ apiVersion: `${group}/${version}`, kind: 'Foo', metadata: { name }, spec: { n } });
  await custom.createNamespacedCustomObject({ ...where, body: foo('f', 1) });
  try {
    await custom.createNamespacedCustomObject({ ...where, body: foo('g', 0) });
  } catch (error) {
    told.invalid = [error.code, JSON.parse(error.body).message.split(': ').pop()];
  }
  const status = { ...where, name: 'f', body: { status: { p: 'x' } } };
  await custom.patchNamespacedCustomObjectStatus(status, type(k8s.PatchStrategy.MergePatch));
  told.custom = (await custom.getNamespacedCustomObject({ ...where, name: 'f' })).status;
  await definitions.deleteCustomResourceDefinition({ name: definition });
}

await configMaps();
await pages();
await workload();
await customKind();
const reviews = config.makeApiClient(k8s.AuthenticationV1Api);
told.whoami = (await reviews.createSelfSubjectReview({ body: {} })).status.userInfo.username;
console.log(JSON.stringify(told));
process.exit(0);
