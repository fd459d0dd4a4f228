package heartstream;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** Scores one record at a time, and writes the bytes that the worker writes with the risk alone. One thread's own. */
final class Scorer {
    private static final int FIELDS = Model.FIELDS.length, REMEMBERED = 4096;
    private final Model model;
    private final PatientReader patient = new PatientReader();
    private final byte[][] metadata = new byte[1 << FIELDS - Model.OPTIONAL][];
    private final Map<Integer, byte[]> rareMetadata = new HashMap<>();
    private byte[] out = new byte[4096];
    private int end;

    Scorer(Model model) {
        this.model = model;
    }

    /** Return the score of a record; null if the record is not valid. */
    byte[] score(byte[] value, String topic, int partition, long offset) {
        if (!patient.read(value)) return null;
        long millionths = (long) Math.rint(risk(patient.values) * 1e6);
        end = 0;
        ascii("{\"patient_id\":");
        string(patient.patientId);
        ascii(",\"risk\":");
        fraction(millionths);
        ascii(millionths / 1e6 >= model.threshold ? ",\"label\":1" : ",\"label\":0");
        bytes(metadata(patient.values));
        ascii(",\"source\":{\"topic\":");
        string(topic);
        ascii(",\"partition\":");
        integer(partition);
        ascii(",\"offset\":");
        integer(offset);
        ascii("}}");
        return Arrays.copyOf(out, end);
    }

    private double risk(double[] values) {
        double sum = 0;
        for (int j = 0; j < model.affine.length; j++) {
            double x = values[model.affine[j]] * model.slope[j] + model.offset[j];
            if (x == x) sum += x * model.weight[j];
        }
        for (int k = 0; k < model.lookup.length; k++) {
            double x = values[model.lookup[k]];
            sum += model.adds[k][x == x ? (int) x : model.adds[k].length - 1];
        }
        double logOdds = model.intercept + sum, small = Math.exp(-Math.abs(logOdds));
        return (logOdds >= 0 ? 1 : small) / (1 + small);
    }

    private byte[] metadata(double[] values) {
        int missing = 0, outside = 0;
        for (int j = 0; j < FIELDS; j++) {
            double x = values[j];
            if (x != x) missing |= 1 << j - Model.OPTIONAL;
            else if (x < model.lowest[j] || x > model.highest[j]) outside |= 1 << j;
        }
        if (outside == 0) {
            byte[] known = metadata[missing];
            return known != null ? known : (metadata[missing] = model.metadata(missing, 0));
        }
        if (rareMetadata.size() >= REMEMBERED) rareMetadata.clear();
        int pattern = missing, fields = outside;
        return rareMetadata.computeIfAbsent(pattern << FIELDS | fields, kind -> model.metadata(pattern, fields));
    }

    private void room(int more) {
        if (end + more > out.length) out = Arrays.copyOf(out, Math.max(2 * out.length, end + more));
    }

    private void bytes(byte[] more) {
        room(more.length);
        System.arraycopy(more, 0, out, end, more.length);
        end += more.length;
    }

    /** Without a copy on the way; deprecated as it takes the low bytes only, which is all that ASCII has. */
    @SuppressWarnings("deprecation")
    private void ascii(String text) {
        room(text.length());
        text.getBytes(0, text.length(), out, end);
        end += text.length();
    }

    private void string(String text) {
        boolean plain = true;
        for (int at = 0; at < text.length(); at++) {
            char c = text.charAt(at);
            plain &= c >= 32 & c < 127 & c != '"' & c != '\\';
        }
        ascii("\"");
        if (plain) ascii(text);
        else bytes(escaped(text).getBytes(StandardCharsets.UTF_8));
        ascii("\"");
    }

    private static String escaped(String text) {
        StringBuilder made = new StringBuilder();
        for (char c : text.toCharArray()) {
            switch (c) {
                case '"', '\\' -> made.append('\\').append(c);
                case '\b' -> made.append("\\b");
                case '\t' -> made.append("\\t");
                case '\n' -> made.append("\\n");
                case '\f' -> made.append("\\f");
                case '\r' -> made.append("\\r");
                default -> made.append(c < 32 ? String.format("\\u%04x", (int) c) : c);
            }
        }
        return made.toString();
    }

    /** Write millionths in the shortest form, as msgspec does: with an exponent below 1e-5. */
    private void fraction(long n) {
        if (n > 0 && n < 10) {
            integer(n);
            ascii("e-6");
            return;
        }
        integer(n / 1_000_000);
        ascii(".");
        long rest = n % 1_000_000;
        int digits = rest == 0 ? 1 : 6;
        for (; rest != 0 && rest % 10 == 0; digits--) rest /= 10;
        digits(rest, digits);
    }

    private void integer(long n) {
        int digits = 1;
        for (long m = n; m >= 10; m /= 10) digits++;
        digits(n, digits);
    }

    private void digits(long n, int digits) {
        room(digits);
        for (int at = end + digits - 1; at >= end; at--, n /= 10) out[at] = (byte) ('0' + n % 10);
        end += digits;
    }
}
