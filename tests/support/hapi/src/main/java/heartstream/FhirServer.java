package heartstream;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.annotation.OptionalParam;
import ca.uhn.fhir.rest.annotation.RequiredParam;
import ca.uhn.fhir.rest.annotation.Search;
import ca.uhn.fhir.rest.annotation.Sort;
import ca.uhn.fhir.rest.api.SortOrderEnum;
import ca.uhn.fhir.rest.api.SortSpec;
import ca.uhn.fhir.rest.param.ReferenceParam;
import ca.uhn.fhir.rest.param.TokenOrListParam;
import ca.uhn.fhir.rest.param.TokenParam;
import ca.uhn.fhir.rest.server.FifoMemoryPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.HashMapResourceProvider;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Patient;

/** HAPI's FHIR R4 server, with Patients and Observations in memory, at http://127.0.0.1:PORT/fhir. */
public final class FhirServer {
  private static final int PAGE_SIZE = 100;

  public static void main(String[] arguments) throws Exception {
    FhirContext context = FhirContext.forR4();
    RestfulServer fhir = new RestfulServer(context);
    fhir.setResourceProviders(List.of(new HashMapResourceProvider<>(context, Patient.class), new Observations(context)));
    // A small page, so that searches have several.
    FifoMemoryPagingProvider pages = new FifoMemoryPagingProvider(100);
    pages.setDefaultPageSize(PAGE_SIZE);
    pages.setMaximumPageSize(PAGE_SIZE);
    fhir.setPagingProvider(pages);

    Server server = new Server();
    ServerConnector connector = new ServerConnector(server);
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.parseInt(arguments[0]));
    server.addConnector(connector);
    ServletContextHandler handler = new ServletContextHandler("/");
    handler.addServlet(new ServletHolder(fhir), "/fhir/*");
    server.setHandler(handler);
    server.start();
    server.join();
  }

  /** Observations, with the searches that the page needs. */
  public static final class Observations extends HashMapResourceProvider<Observation> {
    Observations(FhirContext context) {
      super(context, Observation.class);
    }

    @Search(allowUnknownParams = true)
    public List<IBaseResource> searchByCode(
        @RequiredParam(name = "patient") ReferenceParam patient,
        @OptionalParam(name = "code") TokenOrListParam codes,
        @Sort SortSpec sort) {
      List<Observation> found = new ArrayList<>();
      for (Observation each : getStoredResources()) {
        boolean isOfPatient = each.getSubject().getReferenceElement().getIdPart().equals(patient.getIdPart());
        if (isOfPatient && (codes == null || hasCode(each, codes))) {
          found.add(each);
        }
      }
      if (sort != null && sort.getParamName().equals("date")) {
        Comparator<Observation> byDate = Comparator.comparing(each -> each.getEffectiveDateTimeType().getValue());
        found.sort(sort.getOrder() == SortOrderEnum.DESC ? byDate.reversed() : byDate);
      }
      return List.copyOf(found);
    }

    private static boolean hasCode(Observation observation, TokenOrListParam codes) {
      return codes.getValuesAsQueryTokens().stream().anyMatch(token -> isCoded(observation, token));
    }

    private static boolean isCoded(Observation observation, TokenParam token) {
      return observation.getCode().getCoding().stream()
          .anyMatch(each -> token.getSystem().equals(each.getSystem()) && token.getValue().equals(each.getCode()));
    }
  }
}
