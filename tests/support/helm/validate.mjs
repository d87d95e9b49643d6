// Holds manifests, as JSON from standard input, against the schemas of kinds that are not Kubernetes' own.
import { text } from "node:stream/consumers";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const models = { ScaledObject, ServiceMonitor };
for (const manifest of JSON.parse(await text(process.stdin))) {
  new models[manifest.kind](manifest).validate();
}
