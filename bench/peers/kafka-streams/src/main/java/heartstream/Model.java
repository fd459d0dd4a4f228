package heartstream;

import com.dslplatform.json.DslJson;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** A model directory: the manifest, and the numbers of a logistic regression for UCI's built-in feature table. */
final class Model {
    static final String TABLE = "uci-heart-1988/1";
    static final String[] FIELDS = {
        "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"
    };
    /** The first optional field: it and all that follow may be missing, and are the bits of a missing pattern. */
    static final int OPTIONAL = 3;
    private static final int MOST_NEXT = 3;

    final double threshold, intercept;
    final double[] lowest = new double[FIELDS.length], highest = new double[FIELDS.length];
    /** A contribution is (value * slope + offset) * weight for the affine fields, picked by the code for the others. */
    final int[] affine, lookup;
    final double[] slope, offset, weight;
    /** By code; the last is that of a missing value. */
    final double[][] adds;
    private final double[] distance;
    private final String identity;

    Model(Path folder, String name) throws IOException, NoSuchAlgorithmException {
        byte[] raw = Files.readAllBytes(folder.resolve("manifest.json"));
        Map<?, ?> manifest = object(raw);
        Map<?, ?> files = (Map<?, ?>) ((Map<?, ?>) manifest.get("models")).get(name);
        Map<?, ?> plain = object(Files.readAllBytes(folder.resolve((String) files.get("plain"))));
        Map<?, ?> plan = (Map<?, ?>) plain.get("plan"), linear = (Map<?, ?>) plain.get("linear");
        if (!TABLE.equals(manifest.get("feature_table")) || linear == null || numbers(linear.get("intercepts")).length != 1) {
            throw new IllegalArgumentException("only a logistic regression for the feature table " + TABLE + " is served");
        }
        threshold = ((Number) manifest.get("threshold")).doubleValue();
        intercept = numbers(linear.get("intercepts"))[0];
        String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(raw), 0, 8);
        identity = "{\"name\":\"" + name + "\",\"version\":\"" + manifest.get("model_version") + "\",\"digest\":\"" + digest + "\"}";
        distance = numbers(((Map<?, ?>) plain.get("uncertainty")).get("distance"));
        for (int j = 0; j < FIELDS.length; j++) {
            double[] range = numbers(((Map<?, ?>) manifest.get("training_range")).get(FIELDS[j]));
            lowest[j] = range[0];
            highest[j] = range[1];
        }
        affine = positions(plan.get("affine"));
        lookup = positions(plan.get("lookup"));
        double[] mean = numbers(plan.get("mean")), scale = numbers(plan.get("scale")), center = numbers(plain.get("center"));
        weight = numbers(((List<?>) linear.get("coefficients")).get(0));
        slope = new double[affine.length];
        offset = new double[affine.length];
        for (int j = 0; j < affine.length; j++) {
            slope[j] = 1 / scale[j];
            offset[j] = -mean[j] / scale[j] - center[j];
        }
        adds = new double[lookup.length][];
        int first = affine.length;
        for (int k = 0; k < lookup.length; k++) {
            List<?> rows = (List<?>) ((List<?>) plan.get("tables")).get(k);
            adds[k] = new double[rows.size()];
            for (int code = 0; code < rows.size(); code++) adds[k][code] = weighed(numbers(rows.get(code)), center, first);
            first += ((List<?>) rows.get(0)).size();
        }
    }

    /** Add up in numpy's order: the first, and the sum of the others. */
    private double weighed(double[] row, double[] center, int first) {
        double rest = 0;
        for (int k = 1; k < row.length; k++) rest += part(row[k] - center[first + k], weight[first + k]);
        return part(row[0] - center[first], weight[first]) + rest;
    }

    private static double part(double centered, double weight) {
        return Double.isNaN(centered) ? 0 : centered * weight;
    }

    /** The part of a score that those with the same missing fields and warnings share, from `threshold` on. */
    byte[] metadata(int missing, int outside) {
        List<Integer> bits = new ArrayList<>();
        List<String> warnings = new ArrayList<>();
        for (int bit = 0; bit < FIELDS.length - OPTIONAL; bit++) if ((missing >> bit & 1) == 1) bits.add(bit);
        for (int bit : bits) warnings.add(warning("imputed", OPTIONAL + bit));
        for (int j = 0; j < FIELDS.length; j++) if ((outside >> j & 1) == 1) warnings.add(warning("out_of_training_range", j));
        String names = names(bits);
        bits.sort(Comparator.comparingDouble(bit -> distance[missing & ~(1 << bit)]));
        String next = names(bits.subList(0, Math.min(MOST_NEXT, bits.size())));
        String text = ",\"threshold\":" + threshold + ",\"model\":" + identity + ",\"pattern\":null,\"missing\":[" + names
            + "],\"warnings\":[" + String.join(",", warnings) + "],\"measure_next\":[" + next + "]";
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String names(List<Integer> bits) {
        return String.join(",", bits.stream().map(bit -> "\"" + FIELDS[OPTIONAL + bit] + "\"").toList());
    }

    private static String warning(String code, int field) {
        return "{\"code\":\"" + code + "\",\"field\":\"" + FIELDS[field] + "\"}";
    }

    private static Map<?, ?> object(byte[] raw) throws IOException {
        return new DslJson<>().deserialize(Map.class, raw, raw.length);
    }

    /** Numbers, NaN where null. */
    private static double[] numbers(Object list) {
        return ((List<?>) list).stream().mapToDouble(x -> x == null ? Double.NaN : ((Number) x).doubleValue()).toArray();
    }

    private static int[] positions(Object list) {
        return ((List<?>) list).stream().mapToInt(x -> ((Number) x).intValue()).toArray();
    }
}
